"""Journal: what a run leaves on disk, and how it is resumed."""

__all__: list[str] = []

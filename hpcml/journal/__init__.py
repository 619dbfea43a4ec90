"""Journal: the files that a run leaves on disk, and how the run is resumed from these."""

__all__: list[str] = []

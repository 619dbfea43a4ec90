"""Programs on nodes: what those of all engines share."""

__all__: list[str] = []

"""Programs on nodes: the parts that all engines share."""

__all__: list[str] = []

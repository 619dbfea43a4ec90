"""Map: the calls of a ``map``, and their results."""

__all__: list[str] = []

"""Data: what is sent with a task, and its large parts once per node."""

__all__: list[str] = []

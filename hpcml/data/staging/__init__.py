"""Staging: large data of tasks, once on each node."""

__all__: list[str] = []

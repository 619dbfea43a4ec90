"""Staging: the large parts of what is sent, once on each node."""

__all__: list[str] = []

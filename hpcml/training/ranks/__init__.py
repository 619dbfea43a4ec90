"""Ranks of a training program: their places, the port of rank 0, their start and end."""

__all__: list[str] = []

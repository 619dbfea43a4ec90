"""Slurm: what it has granted, what is asked of it, and how its commands are written."""

__all__: list[str] = []

"""Slurm: the allocation, the questions to Slurm, and its commands."""

__all__: list[str] = []

"""Checkpoints of a training: versions of its state, with the SHA-256 of each file."""

__all__: list[str] = []

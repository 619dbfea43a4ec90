"""Folder that `hpcml run` puts on PYTHONPATH; only ``sitecustomize.py`` may be in it."""

__all__: list[str] = []

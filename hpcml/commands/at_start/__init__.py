"""The folder that `hpcml run` puts on PYTHONPATH; nothing but ``sitecustomize.py`` may lie in it."""

__all__: list[str] = []

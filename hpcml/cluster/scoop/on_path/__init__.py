"""The folder that `hpcml run` puts on ``sys.path``; nothing but ``scoop.py`` may lie in it."""

__all__: list[str] = []

"""Commands: ``hpcml run``, ``info`` and ``report``."""

__all__: list[str] = []

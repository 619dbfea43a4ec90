"""``hpcml submit``, ``jobs``, ``logs``, ``wait`` and ``cancel``: jobs, from a login node."""

__all__: list[str] = []

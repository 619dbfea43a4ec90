"""Models trained by several ranks or workers: data parallel, model parallel, by a parameter server."""

__all__: list[str] = []

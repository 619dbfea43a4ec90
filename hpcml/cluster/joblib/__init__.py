"""joblib: the backend, its batches, and its default in `hpcml run`."""

__all__: list[str] = []

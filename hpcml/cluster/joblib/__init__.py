"""joblib: the backend ``"hpcml"``, its batches, and joblib's default in `hpcml run`."""

__all__: list[str] = []

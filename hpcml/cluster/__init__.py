"""Cluster: from a call to the engine and back, for joblib, maps and SCOOP's programs."""

__all__: list[str] = []

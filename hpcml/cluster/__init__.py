"""Cluster: the way of a call to the engine and back, for submit and map, joblib, and programs of SCOOP."""

__all__: list[str] = []

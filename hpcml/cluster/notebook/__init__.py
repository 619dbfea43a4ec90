"""Notebook: a Cluster in an IPython session. Bars of each cell, the Cluster's own display, interrupts."""

__all__: list[str] = []

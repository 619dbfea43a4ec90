"""Checks of ``hpcml doctor``: pure functions from `Facts` to lists of `Finding`."""

__all__: list[str] = []

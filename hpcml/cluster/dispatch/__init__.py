"""Dispatch: the tasks that wait, those that are sent, and those that are run again."""

__all__: list[str] = []

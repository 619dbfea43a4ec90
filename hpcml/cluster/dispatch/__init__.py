"""Dispatch: tasks that wait, tasks that are sent, tasks that are run again."""

__all__: list[str] = []

"""Live view of a run, from its journal alone.

::

    command.py   reads the journal's new records, again and again
    state.py     RunState: what the records say of the slots, the tasks and the time, so far
    screen.py    the state as a picture of a given size
"""

__all__: list[str] = []

"""``hpcml doctor``: checks an allocation, a login node, or this computer, before a job relies on it.

::

    command.py      the command; examination.py collects the facts, and judges them
    job.py          a job for the command on a login node
    computer.py     facts about one computer, as a process there sees them
    probe.py        the program of a node: sends these facts, and tries addresses and files; imports little
    step.py         starts the probe on every node in one step, and takes its messages
    checks/         pure functions from all facts to findings
    text.py         findings as text and as plain data
"""

__all__: list[str] = []

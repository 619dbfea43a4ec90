"""Standard streams of the requests of views and magics: ipyparallel's own, whose text is sent to the client.

::

    print ──────────────────────> stream of ipykernel ──> message to the client of the request
    C, children ── fd 1, 2 ──> pipe ── its thread ──┘└──> the launcher's log

They are made when the first such request comes: a process that runs frames alone has none of their threads.
Frames have the pipes of `hpcml.engines.streams` in their place.
"""

import os
import sys
from collections.abc import Callable
from typing import TextIO

__all__ = ["ViewOutput"]


class ViewOutput:
    """The streams of views in the process of an engine.

    ``is_open`` is False until their first request.

    Parameters
    ----------
    log
        The file to which ipykernel's streams copy the output of C code and children.
    """

    def __init__(self, log: TextIO) -> None:
        self.is_open = False
        self._log = log
        self._redirect: Callable[[], object] = lambda: None
        self._descriptors: tuple[int, ...] = ()

    def prepare(self, redirect: Callable[[], object]) -> None:
        """Note the function that makes and sets ipyparallel's streams and its display hook."""
        self._redirect = redirect

    def show(self) -> None:
        """Set the streams, after frames or for the first time; `PlainProcess.show` sets those of ``sys`` again."""
        if self.is_open:
            for number, descriptor in enumerate(self._descriptors, 1):
                os.dup2(descriptor, number)
            return
        self.is_open = True
        for number in (1, 2):  # what the streams take for the terminal, and copy to
            os.dup2(self._log.fileno(), number)
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # files of these descriptors
        self._redirect()
        self._descriptors = os.dup(1), os.dup(2)

"""Refresh: what has changed is shown a moment later, once for all changes of that moment."""

import logging
import threading
import time
from collections.abc import Callable

__all__ = ["Refresh"]

log = logging.getLogger("hpcml")


class Refresh:
    """Calls `show` within `seconds` of each note, and not more often than that.

    The thread that calls it exists while there are notes. A notebook in which nothing happens sends nothing, and a
    server that ends idle kernels sees this kernel as idle.

    Examples
    --------
    >>> import time
    >>> from hpcml.cluster.notebook.refresh import Refresh
    >>> shown = []
    >>> refresh = Refresh(lambda: shown.append("all"), 0.01)
    >>> for change in range(1000):
    ...     refresh.note()
    >>> refresh.flush()
    >>> len(shown) < 100
    True
    """

    def __init__(self, show: Callable[[], object], seconds: float) -> None:
        self._show = show
        self._seconds = seconds
        self._due = False
        self._running = False  # the thread
        self._lock = threading.Lock()  # protects both: any thread may note a change
        self._showing = threading.Lock()  # one call of `show` at a time: displays keep their order

    def note(self) -> None:
        """Have the change shown soon."""
        if self._due:
            return
        with self._lock:
            self._due = True
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="hpcml-refresh", daemon=True).start()

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds)
            with self._lock:
                if not self._due:
                    self._running = False
                    return
            self.flush()

    def flush(self) -> None:
        """Show now what has changed."""
        with self._showing:
            if not self._due:
                return
            self._due = False
            try:
                self._show()
            except Exception as error:  # the front end is gone: no task fails for it
                log.debug("the display failed: %r", error)

"""Prints of tasks, as the user sees them: whole lines, each with the name of its slot."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from hpcml.data.envelope import TaskObserver
from hpcml.data.outcomes import read_head

__all__ = ["Inbox", "PrintedLines", "Prints"]

log = logging.getLogger("hpcml")

Inbox = queue.SimpleQueue[tuple[Callable[..., None], Any] | None]
"""Orders of a thread: functions, each with its argument; None ends the thread."""

LONGEST_LINE_BYTES = 1 << 16  # a longer one is shown in parts
MAX_WAITING_BYTES = 64 << 20  # that wait to be shown


class PrintedLines:
    """Joins the bytes that workers print into lines.

    Examples
    --------
    >>> from hpcml.cluster.dispatch.prints import PrintedLines
    >>> lines = PrintedLines("utf-8")
    >>> lines.add("n1:0", 0, b"one\\ntw"), lines.add("n1:0", 0, b"o\\n"), lines.add("n1:1", 0, b"3", ended=True)
    ('[n1:0] one\\n', '[n1:0] two\\n', '[n1:1] 3\\n')
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._unfinished: dict[tuple[str, int], bytes] = {}

    def add(self, worker: str, stream: int, data: bytes, ended: bool = False) -> str:
        """Return the lines that are complete now; with `ended` also the incomplete one."""
        if not data and not self._unfinished:
            return ""
        data = self._unfinished.pop((worker, stream), b"") + data
        whole, end, rest = data.rpartition(b"\n")
        if rest and (ended or len(rest) > LONGEST_LINE_BYTES):
            whole = data
            end = b"\n"
            rest = b""
        if rest:
            self._unfinished[worker, stream] = rest
        if not end:
            return ""
        text = whole.decode(self._encoding, "replace")
        return "".join(f"[{worker}] {line}\n" for line in text.split("\n"))


class Prints:
    """Bytes that engines have read from their workers' streams, until a thread shows them.

    When `max_bytes` wait, because the user's terminal or log takes no more, further bytes are counted and dropped:
    no task waits for its prints.

    Parameters
    ----------
    inbox
        Orders of that thread: functions, each with its argument.
    observer
        Shows the prints, in that thread.
    """

    def __init__(self, inbox: Inbox, observer: TaskObserver, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self._inbox = inbox
        self._observer = observer
        self._max_bytes = max_bytes
        self._waiting = self._left_out = 0  # bytes
        # Protects the two numbers: engines' threads put, the dispatcher thread shows.
        self._lock = threading.Lock()

    def put(self, worker: str, stream: int, data: bytes, ended: bool) -> None:
        """Take bytes that a worker has printed; see `hpcml.data.envelope.TaskObserver`."""
        with self._lock:
            if self._waiting + len(data) > self._max_bytes:
                self._left_out += len(data)
                return
            self._waiting += len(data)
        self._inbox.put((self._show, (worker, stream, data, ended)))

    def _show(self, printed: tuple[str, int, bytes, bool]) -> None:
        with self._lock:
            self._waiting -= len(printed[2])
            left_out = self._left_out
            self._left_out = 0
        self._observer.printed(*printed)
        if left_out:
            log.warning("%s bytes that tasks have printed are left out: they are not read here in time", left_out)

    def end_frame(self, outcomes: bytes) -> None:
        """Show the last bytes that the calls of a frame have printed."""
        head = read_head(outcomes)
        for stream, data in enumerate(head.printed):
            self._observer.printed(head.worker, stream, data, True)

    def call_in_thread(self, function: Callable[..., None], argument: Any) -> None:
        """Have the thread that shows prints call a function, after all that has been put before."""
        self._inbox.put((function, argument))

    def show_rest(self) -> None:
        """Show the remaining prints, when the thread has ended."""
        while True:
            try:
                order = self._inbox.get_nowait()
            except queue.Empty:
                return
            if order is not None and order[0] == self._show:
                self._show(order[1])

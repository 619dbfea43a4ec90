"""SCOOP's Future, around one of `concurrent.futures`.

Callbacks are called as SCOOP does: in the thread of the program, while it waits for a future or asks for one.
Several threads meet here only under `_changed`::

    dispatcher thread ── a task has ended ──> isDone, _due ──> a thread that waits: `until` ──> callbacks
"""

# ruff: noqa: N802, N803  the names are SCOOP's

import concurrent.futures
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any, NamedTuple

from hpcml.cluster.scoop.task_context import worker

__all__ = ["CallbackType", "DoneAndNotDoneFutures", "Future", "call_due", "limit", "until"]

log = logging.getLogger("hpcml")
_changed = threading.Condition()  # protects _due, and in each Future isDone, its callbacks and its listeners
_due: "deque[Future]" = deque()  # have ended, and their callbacks were not called yet
_numbers = itertools.count()


class CallbackType:
    """Where callbacks run: here always where the future is."""

    standard = "standard"
    universal = "universal"


class Future:
    """A call that was submitted.

    Parameters
    ----------
    callable
        What was called, with ``args`` and ``kargs``.
    inner
        What holds its result.
    """

    def __init__(
        self,
        callable: Callable[..., Any],
        args: tuple[Any, ...],
        kargs: dict[str, Any],
        inner: "concurrent.futures.Future[Any]",
    ) -> None:
        self.id = (worker(), next(_numbers))
        self.callable = callable
        self.args = args
        self.kargs = kargs
        self.isDone = False
        self._inner = inner
        self._callbacks: list[Callable[[Future], Any]] = []
        self._listeners: list[deque[Future]] = []
        inner.add_done_callback(self._note)

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else "done" if self.isDone else "not done"
        name = getattr(self.callable, "__name__", "partial")
        return f"<scoop Future {self.id[1]}: {name}, {state}>"

    def __reduce__(self) -> Any:
        raise TypeError("a Future stays in the process that submitted it: pass its .result() to tasks")

    def _note(self, _: Any) -> None:
        """Take in that the call has ended; runs in the dispatcher thread."""
        with _changed:
            self.isDone = True
            for listener in self._listeners:
                listener.append(self)
            self._listeners.clear()
            if self._callbacks:
                _due.append(self)
            _changed.notify_all()

    def listen(self, ended: "deque[Future]") -> None:
        """Have this future appended to `ended` when it is done, now or later."""
        with _changed:
            if self.isDone:
                ended.append(self)
            else:
                self._listeners.append(ended)

    def call_back(self) -> None:
        """Call the callbacks; what they raise is logged."""
        with _changed:
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            try:
                callback(self)
            except Exception:
                log.exception("a callback of %r failed", self)

    def cancel(self) -> bool:
        """Keep the call from running, if it has not begun; tell whether that was so."""
        return self._inner.cancel()

    def cancelled(self) -> bool:
        """Tell whether the call was cancelled."""
        return self._inner.cancelled()

    def running(self) -> bool:
        """Tell whether the call is running, or on its way to a worker."""
        return self._inner.running()

    def done(self) -> bool:
        """Tell whether the call has ended or was cancelled."""
        return until(lambda: self.isDone, 0)

    def result(self, timeout: float | None = None) -> Any:
        """Return what the call returned, or raise what it raised.

        Raises
        ------
        TimeoutError
            It has not ended after `timeout` seconds; None, or a negative number: there is no limit.
        CancelledError
            It was cancelled.
        """
        self._wait(timeout)
        return self._inner.result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return what the call raised, None where it returned; see `result` for `timeout`."""
        self._wait(timeout)
        return self._inner.exception()

    def _wait(self, timeout: float | None) -> None:
        if not until(lambda: self.isDone, limit(timeout)):
            raise TimeoutError(f"{self!r} after {timeout:g} s")

    @property
    def resultValue(self) -> Any:
        """Value that the call returned; None while it has not."""
        return self._inner.result() if self.isDone and self.exceptionValue is None else None

    @property
    def exceptionValue(self) -> BaseException | None:
        """Exception that the call raised, CancelledError where it was cancelled; None while it has not."""
        if not self.isDone:
            return None
        return CancelledError() if self.cancelled() else self._inner.exception()

    def add_done_callback(
        self,
        callable_: "Callable[[Future], Any]",
        inCallbackType: str = CallbackType.standard,
        inCallbackGroup: Any = None,
    ) -> None:
        """Have `callable_` called with this future when it is done; at once, where it is.

        All callbacks run in the process that submitted the call, whatever their type and group.
        """
        with _changed:
            self._callbacks.append(callable_)
            ended = self.isDone and self not in _due
        if ended:
            self.call_back()


class DoneAndNotDoneFutures(NamedTuple):
    """Result of `hpcml.cluster.scoop.futures.wait`."""

    done: set[Future]
    not_done: set[Future]


def call_due() -> None:
    """Call the callbacks that are due."""
    if _due:
        until(lambda: True)


def limit(timeout: float | None) -> float | None:
    """Return the seconds to wait, None for no limit: SCOOP has None and negative numbers for that."""
    return None if timeout is None or timeout < 0 else timeout


def until(reached: Callable[[], bool], timeout: float | None = None) -> bool:
    """Wait for `reached()`, at most `timeout` seconds, and call the callbacks that are due; tell if it came."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        with _changed:
            left = None if end is None else end - time.monotonic()
            _changed.wait_for(lambda: bool(_due) or reached(), left)
            due = _due.popleft() if _due else None
        if due is None:
            return reached()
        due.call_back()

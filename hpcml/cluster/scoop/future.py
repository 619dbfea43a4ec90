"""SCOOP's Future, around one of `concurrent.futures`.

Callbacks are called as in SCOOP: in the thread of the program, while it waits for a future or asks for one.
Several threads share the state of a future, under the lock of `_changed`::

    dispatcher thread ── a task has ended ──> isDone, _due ──> a thread that waits: `wait_until` ──> callbacks
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

__all__ = ["CallbackType", "DoneAndNotDoneFutures", "Future", "call_due_callbacks", "seconds_of", "wait_until"]

log = logging.getLogger("hpcml")
_changed = threading.Condition()  # protects _due, and in each Future isDone, its callbacks and its listeners
_due: "deque[Future]" = deque()  # have ended, with callbacks still to be called
_numbers = itertools.count()


class CallbackType:
    """Places where callbacks run; here both mean the process that submitted the call."""

    standard = "standard"
    universal = "universal"


class Future:
    """A call that was submitted.

    Parameters
    ----------
    callable
        The function that is called with ``args`` and ``kargs``.
    inner
        The future that holds the result.
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
        """Note that the call has ended; runs in the dispatcher thread."""
        with _changed:
            self.isDone = True
            for listener in self._listeners:
                listener.append(self)
            self._listeners.clear()
            if self._callbacks:
                _due.append(self)
            _changed.notify_all()

    def listen(self, ended: "deque[Future]") -> None:
        """Append this future to `ended` when it is done, now or later."""
        with _changed:
            if self.isDone:
                ended.append(self)
            else:
                self._listeners.append(ended)

    def call_back(self) -> None:
        """Call the callbacks; their exceptions are logged."""
        with _changed:
            callbacks = self._callbacks
            self._callbacks = []
        for callback in callbacks:
            try:
                callback(self)
            except Exception:
                log.exception("a callback of %r failed", self)

    def cancel(self) -> bool:
        """Cancel the call if it has not begun; return whether it was cancelled."""
        return self._inner.cancel()

    def cancelled(self) -> bool:
        """Return whether the call was cancelled."""
        return self._inner.cancelled()

    def running(self) -> bool:
        """Return whether the call is running, or is being sent to a worker."""
        return self._inner.running()

    def done(self) -> bool:
        """Return whether the call has ended or was cancelled."""
        return wait_until(lambda: self.isDone, 0)

    def result(self, timeout: float | None = None) -> Any:
        """Return the value that the call returned, or raise its exception.

        Raises
        ------
        TimeoutError
            The call has not ended after `timeout` seconds; None, or a negative number: there is no limit.
        CancelledError
            The call was cancelled.
        """
        self._wait(timeout)
        return self._inner.result()

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Return the exception of the call, None where it returned; see `result` for `timeout`."""
        self._wait(timeout)
        return self._inner.exception()

    def _wait(self, timeout: float | None) -> None:
        if not wait_until(lambda: self.isDone, seconds_of(timeout)):
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
        """Call `callable_` with this future when it is done; at once where it is.

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


def call_due_callbacks() -> None:
    """Call the callbacks that are due."""
    if _due:
        wait_until(lambda: True)


def seconds_of(timeout: float | None) -> float | None:
    """Return the seconds of a timeout, None for no limit; SCOOP has None and negative numbers for that."""
    return None if timeout is None or timeout < 0 else timeout


def wait_until(reached: Callable[[], bool], timeout: float | None = None) -> bool:
    """Wait until `reached()`, at most `timeout` seconds, and call callbacks that are due; return `reached()`."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        with _changed:
            left = None if end is None else end - time.monotonic()
            _changed.wait_for(lambda: bool(_due) or reached(), left)
            due = _due.popleft() if _due else None
        if due is None:
            return reached()
        due.call_back()

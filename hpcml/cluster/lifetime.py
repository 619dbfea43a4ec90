"""Lifetime of a Cluster: its session is closed after the last task, or at once."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from hpcml.cluster.current import note_closed
from hpcml.cluster.executor import ClusterExecutor
from hpcml.cluster.served import RankServed, ServedSession
from hpcml.cluster.session import Session
from hpcml.errors import shut_down_error

__all__ = ["Lifetime"]


class Lifetime(ClusterExecutor):
    """The part of `hpcml.Cluster` that is about its end."""

    _session: Session
    _owns_session: bool
    _closed: bool
    _at_shutdown: list[Callable[[bool], object]]

    def _check_open(self) -> None:
        if self._closed:
            raise shut_down_error()

    def _on_shutdown(self, callback: Callable[[bool], object]) -> None:
        """Have shutdown call ``callback(wait)`` before the workers end.

        With `wait` the callback returns when all that it has queued is submitted.
        """
        self._at_shutdown.append(callback)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers: after the last task, or at once with ``cancel_futures=True``.

        ``wait=False`` returns at once and ends them in the background, after the last task.
        """
        if self._closed:
            return
        self._closed = True
        note_closed(self)
        # A callback of a future may shut the Cluster down, and must not wait for its own thread.
        can_wait = not self._session.is_dispatching()
        while self._at_shutdown:
            self._at_shutdown.pop()(can_wait and wait and not cancel_futures)
        if not self._owns_session:
            return
        if (wait or cancel_futures) and can_wait:
            self._session.close(wait=not cancel_futures)
        else:
            threading.Thread(target=self._session.close, kwargs={"wait": not cancel_futures}).start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Close: after the last task, or at once when an exception ends the ``with`` block."""
        self.shutdown(cancel_futures=kind is not None)
        return isinstance(error, RankServed) and isinstance(self._session, ServedSession)

    def __enter__(self) -> Self:
        return self

"""Tasks that run for a while: each is announced once, so that the journal shows what the workers do."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from time import time

from hpcml.cluster.dispatch.frames import Frame
from hpcml.data.envelope import TaskObserver
from hpcml.engines.interface import Workers

__all__ = ["RunningTasks"]

PAUSE_SECONDS = 1.0  # between two looks at the workers; a task that is seen twice is announced
SLOTS_PER_SECOND = 1_000  # at which is looked: more slots are looked at less often
SIGN_OF_LIFE_SECONDS = 60.0  # after which an announcement is made though nothing has changed


@dataclass(slots=True)
class _Seen:
    """A frame that a worker runs, since a time of the monotonic clock."""

    future: "Future[bytes]"
    since: float
    is_announced: bool = False


class RunningTasks:
    """Looks each second at the frames that the workers run, and announces those that it sees again.

    Parameters
    ----------
    in_flight
        The frames of the workers; the dispatcher changes them.
    fail_all
        Called with the error when an announcement cannot be recorded.
    """

    def __init__(
        self,
        workers: Workers,
        observer: TaskObserver,
        in_flight: "Mapping[Future[bytes], Frame]",
        fail_all: Callable[[BaseException], None],
    ) -> None:
        self._workers = workers
        self._observer = observer
        self._in_flight = in_flight
        self._fail_all = fail_all
        self._seen: dict[str, _Seen] = {}
        self._looked = self._announced = 0.0

    @property
    def pause(self) -> float | None:
        """Seconds after which to look again, None while no task runs."""
        return PAUSE_SECONDS if self._in_flight or self._seen else None

    def look(self, now: float, waiting: int, left: float | None) -> None:
        """Look at the workers where that is due; `now` is a time of the monotonic clock.

        `waiting` calls are not sent yet; for `left` see `hpcml.data.envelope.TaskObserver.running`.
        """
        if now < self._looked + PAUSE_SECONDS or self.pause is None:
            return
        if now < self._looked + self._workers.slots / SLOTS_PER_SECOND:
            return
        try:
            changes = self._changes(now)
            waiting += sum(frame.calls for frame in self._in_flight.values()) - len(self._seen)
            if changes or now > self._announced + SIGN_OF_LIFE_SECONDS:
                self._announced = now
                self._observer.running(changes, waiting, left)
        except Exception as error:
            self._fail_all(error)
        self._looked = now

    def _changes(self, now: float) -> dict[str, tuple[str, float] | None]:
        running = {
            worker: (future, self._in_flight[future])
            for worker, future in self._workers.frames_running().items()
            if future in self._in_flight
        }
        ended = self._seen.keys() - running.keys()
        changes: dict[str, tuple[str, float] | None] = {
            worker: None for worker in ended if self._seen.pop(worker).is_announced
        }
        for worker, (future, frame) in running.items():
            seen = self._seen.get(worker)
            if seen is None or seen.future is not future:
                self._seen[worker] = _Seen(future, max(frame.sent, self._looked))
            elif not seen.is_announced:
                seen.is_announced = True
                changes[worker] = frame.tasks[0].call.name, time() - (now - seen.since)
        return changes

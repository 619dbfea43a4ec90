"""State of one engine in the driver's table of engines."""

from collections.abc import Set
from concurrent.futures import Future
from dataclasses import dataclass, field

from hpcml.engines.worker import Worker

__all__ = ["EngineState", "preference"]


@dataclass(eq=False)
class EngineState:
    """An engine, and the frames that it has not answered yet.

    News of an engine come from its launcher, from the hub, and from the client's requests, in any order. States:

    ==========  ==============  ==============================================================================
    State       Field           Meaning
    ==========  ==============  ==============================================================================
    forked                      Its launcher has reported it; no frame is sent to it
    registered  ``registered``  The hub has announced it: frames are sent to it
    lost        ``death``       The hub, or a request that failed, has reported its end
    ended       ``ended``       Its launcher has reported its end, or has ended with it
    ==========  ==============  ==============================================================================

    An engine that is lost and not ``ended`` is silent, since ``silent_since``; it may be frozen. When its launcher
    has not explained that soon, it is killed.
    ``killed`` is set in a registered engine only: an interrupt has been ordered, and its end will follow.
    """

    number: int
    worker: Worker
    registered: bool = False
    death: str = ""  # why no frame is sent to it any more
    ended: bool = False
    silent_since: float = 0.0  # on the monotonic clock; 0: it is not silent, or its kill has been ordered
    killed: bool = False
    running_failed: bool = False  # the future of the frame that it ran has failed with its death
    last_sent: float = 0.0  # when a frame was last sent to it
    outstanding: list["Future[bytes]"] = field(default_factory=list)

    @property
    def is_living(self) -> bool:
        """True for an engine that is registered, and not lost or ended."""
        return self.registered and not self.death

    def end(self, death: str) -> None:
        """Note that its process has ended."""
        self.death = death
        self.ended = True
        self.silent_since = 0.0

    def lose(self, death: str, now: float) -> None:
        """Note that it is gone, at the time `now`, for a reason that only its launcher can explain."""
        self.death = self.death or death
        self.silent_since = 0.0 if self.ended else now

    def fail_request(self, death: str, *, is_alive: bool, now: float) -> None:
        """Note that a request has failed; an engine that is alive after that is in an unknown state."""
        if is_alive:
            self.lose(death, now)
        else:
            self.death = self.death or death

    def fail_first(self, future: "Future[bytes]") -> bool:
        """Return whether `future` is the frame that it was running at its death; true for one future at most.

        The client fails the requests of an engine in any order.
        """
        is_running = not self.running_failed and self.outstanding[:1] == [future]
        self.running_failed = self.running_failed or is_running
        return is_running


def preference(engine: EngineState, avoid: Set[str]) -> tuple[int, bool, float]:
    """Return the sort key of engines for a frame: the least busy first, of equal ones not on the nodes `avoid`."""
    return len(engine.outstanding), engine.worker.host in avoid, engine.last_sent

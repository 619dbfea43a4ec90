"""State of one engine, as the driver knows it."""

from collections.abc import Set
from concurrent.futures import Future
from dataclasses import dataclass, field

from hpcml.engines.worker import Worker

__all__ = ["EngineState", "preference"]


@dataclass(eq=False)
class EngineState:
    """An engine, and the frames that it has not answered yet."""

    worker: Worker
    registered: bool = False
    silent_since: float = 0.0  # when the controller gave it up, or it failed; 0 once explained, or it is killed
    ended: bool = False  # says its launcher
    dead: str = ""
    told: bool = False  # the frame that it was running has failed with its death
    killed: bool = False  # by `interrupt`
    sent: float = 0.0  # when it was last given something
    outstanding: list["Future[bytes]"] = field(default_factory=list)


def preference(engine: EngineState, avoid: Set[str]) -> tuple[int, bool, float]:
    """Return what puts engines in order: the least busy first, of equal ones not where workers have died."""
    return len(engine.outstanding), engine.worker.host in avoid, engine.sent

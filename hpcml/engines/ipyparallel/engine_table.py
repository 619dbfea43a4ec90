"""Table of all engines in the driver: which are forked, registered, silent, dead, and which frames each has."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import Future

from hpcml.engines.ipyparallel.engine_state import EngineState, preference
from hpcml.engines.worker import Worker
from hpcml.errors import WorkerDied

__all__ = ["EngineTable"]

log = logging.getLogger("hpcml")

REPORT_SECONDS = 1.0  # in which a launcher reports the end of an engine


class EngineTable:
    """Engines by their ids; ``lock`` protects the table and the frames of each engine."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._engines: dict[int, EngineState] = {}

    @property
    def slots(self) -> int:
        """Number of engines, those included that a launcher has just forked."""
        with self.lock:
            return sum(not engine.death for engine in self._engines.values())

    @property
    def ready(self) -> int:
        """Number of engines that are registered and alive."""
        with self.lock:
            return len(self.usable())

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have a living engine, in Slurm's order."""
        with self.lock:
            return tuple(dict.fromkeys(engine.worker.host for engine in self._sorted() if engine.is_living))

    @property
    def hosts_with_engines(self) -> set[str]:
        """The nodes with an engine that is alive, or has just been forked."""
        with self.lock:
            return {engine.worker.host for engine in self._engines.values() if not engine.death}

    @property
    def is_registration_missing(self) -> bool:
        """True while an engine that was forked has neither registered nor ended."""
        with self.lock:
            return not all(engine.registered or engine.death for engine in self._engines.values())

    def usable(self) -> list[EngineState]:
        """Return the engines that frames are sent to; the caller holds the lock.

        An engine that is being killed could still begin a frame, which would then run twice.
        """
        return [engine for engine in self._sorted() if engine.is_living and not engine.killed]

    def _sorted(self) -> list[EngineState]:
        """Return the engines in the order of their ids, which is Slurm's order of nodes."""
        return [engine for _, engine in sorted(self._engines.items())]

    def add(self, host: str, slots: dict[int, int]) -> None:
        """Add engines that a launcher has forked: their ids and slots."""
        with self.lock:
            for number, slot in slots.items():
                self._engines[number] = EngineState(number, Worker(host, slot))

    def update_registered(self, ask: Callable[[], Set[int]]) -> None:
        """Note which engines the hub has; `ask` returns their ids.

        The question and the note are one: with an answer older than another thread's note, an engine that has just
        registered would count as lost.
        """
        with self.lock:
            numbers = ask()
            for number, engine in self._engines.items():
                if engine.registered and number not in numbers:
                    engine.lose("no longer answers", time.monotonic())
                engine.registered = number in numbers

    def end(self, number: int, status: str) -> EngineState | None:
        """Note that an engine has ended, as its launcher reports; return None when the table lacks it."""
        with self.lock:
            engine = self._engines.get(number)
            if engine is None:  # of a controller that is gone
                return None
            engine.end(f"ended: {status}")
        level = logging.DEBUG if engine.killed else logging.WARNING
        log.log(level, "worker %s ended: %s; another takes its place", engine.worker, status)
        return engine

    def take_silent(self) -> list[EngineState]:
        """Return the engines whose silence their launcher has had the time to explain, each once."""
        late = time.monotonic() - REPORT_SECONDS
        with self.lock:
            silent = [engine for engine in self._engines.values() if 0 < engine.silent_since < late]
            for engine in silent:
                engine.silent_since = 0.0
        return silent

    def choose(self, future: "Future[bytes]", avoid: Set[str]) -> EngineState | None:
        """Give a frame to the engine with the least to do, and return the engine; None when there is none."""
        with self.lock:
            engine = min(self.usable(), key=lambda engine: preference(engine, avoid), default=None)
            if engine is not None:
                engine.outstanding.append(future)
                engine.last_sent = time.monotonic()
            return engine

    def first_frames(self) -> dict[str, "Future[bytes]"]:
        """Return the first frame of each engine that has one, by its worker."""
        with self.lock:
            return {str(engine.worker): engine.outstanding[0] for engine in self.usable() if engine.outstanding}

    def refuse(self, engine: EngineState, future: "Future[bytes]") -> None:
        """Take a frame back from an engine that the client no longer has: the client got the news first."""
        with self.lock:
            engine.death = "is gone"
            engine.outstanding.remove(future)

    def end_hosts(self, hosts: Set[str], reason: str) -> list["Future[bytes]"]:
        """Note that all engines of `hosts` have ended; remove their frames, and return the futures of these."""
        with self.lock:
            engines = [engine for engine in self._engines.values() if engine.worker.host in hosts]
            for engine in engines:
                engine.end(engine.death or reason)
            return _take_frames(engines)

    def replace_all(
        self, forked: Mapping[str, Mapping[int, int]], reason: str
    ) -> list[tuple["Future[bytes]", WorkerDied]]:
        """Have other engines in place of all: of each host their ids and slots.

        Return the futures of the frames that the former have, each with its error: a death counts for the frame
        alone that a dead engine was running.
        """
        failed = []
        with self.lock:
            for engine in self._engines.values():
                for future in engine.outstanding:
                    started = bool(engine.death) and engine.fail_first(future)
                    text = f"{engine.worker} {engine.death}" if engine.death else reason
                    failed.append((future, WorkerDied(text, str(engine.worker), started)))
                engine.outstanding = []
            self._engines = {
                number: EngineState(number, Worker(host, slot))
                for host, slots in forked.items()
                for number, slot in slots.items()
            }
        return sorted(failed, key=lambda pair: not pair[1].started)  # what has ended the others comes first

    def withdraw(self, number: int) -> None:
        """Send no frame to any engine, where engine `number` is among them: all are about to be replaced."""
        with self.lock:
            for engine in self._engines.values() if number in self._engines else ():
                engine.killed = True

    def give_to_all(self) -> list[tuple[EngineState, "Future[bytes]"]] | None:
        """Give a frame to each engine; return the engines in order with the futures, None where one is missing."""
        with self.lock:
            engines = self.usable()
            if not engines or len(engines) < len(self._engines):
                return None
            pairs: list[tuple[EngineState, Future[bytes]]] = [(engine, Future()) for engine in engines]
            for engine, future in pairs:
                engine.outstanding.append(future)
                engine.last_sent = time.monotonic()
            return pairs

    def clear(self) -> list["Future[bytes]"]:
        """Remove all engines; return the futures of their frames."""
        with self.lock:
            futures = _take_frames(self._engines.values())
            self._engines.clear()
            return futures

    def end_all(self, reason: str) -> None:
        """Note that no engine can be reached any longer."""
        with self.lock:
            for engine in self._engines.values():
                engine.death = engine.death or reason


def _take_frames(engines: Iterable[EngineState]) -> list["Future[bytes]"]:
    """Return the futures of the engines' frames, and remove them; the caller holds the lock."""
    futures = []
    for engine in engines:
        futures += engine.outstanding
        engine.outstanding.clear()
    return futures

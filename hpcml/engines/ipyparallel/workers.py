"""The driver's view of the engines: frames out by ipyparallel's client, deaths and replacements in.

::

    dispatcher thread ── submit ──> DirectView of the least busy engine ──> engine
    client's IO thread ── result, or EngineError ──> frame's future ──> dispatcher's inbox
    news thread ── the launchers' messages: engines forked and died ──> table of engines

One lock protects the table of engines; it is never held while a future is resolved.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ipyparallel import AsyncResult, Client
from ipyparallel.error import EngineError as DeadEngine

from hpcml.errors import EngineError, WorkerDied
from hpcml.task import Worker, run_frame

__all__ = ["EngineWorkers"]


@dataclass(eq=False)
class _Engine:
    worker: Worker
    registered: bool = False
    dead: str = ""
    outstanding: list["Future[bytes]"] = field(default_factory=list)


class EngineWorkers:
    """The engines of all nodes; see `hpcml.dispatch.Workers`.

    Parameters
    ----------
    client
        ipyparallel's client, connected.
    kill
        Tells the launchers to kill an engine, by its id.
    """

    def __init__(self, client: Client, kill: Callable[[int], None]) -> None:
        self.client = client
        self.on_change: Callable[[], None] = lambda: None
        self._kill = kill
        self._changed = threading.Condition()  # its lock protects _engines and _held
        self._engines: dict[int, _Engine] = {}
        self._held: list[tuple[bytes, Future[bytes]]] = []  # frames that found no living engine
        self._views: dict[int, Any] = {}
        client._registration_callbacks.append(lambda _: self._note_registered())

    @property
    def slots(self) -> int:
        """How many engines are registered and alive."""
        with self._changed:
            return len(self._living())

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have a living engine, in order."""
        with self._changed:
            return tuple(dict.fromkeys(engine.worker.host for engine in self._living().values()))

    def _living(self) -> dict[int, _Engine]:
        return {
            number: engine
            for number, engine in self._engines.items()
            if engine.registered and not engine.dead
        }

    def forked(self, host: str, slots: dict[int, int]) -> None:
        """Note engines that a launcher has forked: their ids and slots."""
        with self._changed:
            for number, slot in slots.items():
                self._engines[number] = _Engine(Worker(host, slot))
        self._note_registered()

    def died(self, number: int, status: str) -> None:
        """Note the death of an engine; what it had to do fails when the hub tells the client."""
        with self._changed:
            self._engines[number].dead = status
        self.on_change()

    def _note_registered(self) -> None:
        registered = set(self.client._ids)
        with self._changed:
            for number, engine in self._engines.items():
                engine.registered = engine.registered or number in registered
            held, self._held = (self._held, []) if self._living() else ([], self._held)
            self._changed.notify_all()
        for frame, future in held:
            self._send(frame, future)
        self.on_change()

    def wait_for(self, slots: int, timeout: float) -> bool:
        """Wait at most `timeout` seconds until so many engines are there."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._living()) >= slots, timeout)

    def submit(self, frame: bytes) -> "Future[bytes]":
        """Send a frame to the engine with the least to do; its future fails with `WorkerDied`."""
        future: Future[bytes] = Future()
        self._send(frame, future)
        return future

    def _send(self, frame: bytes, future: "Future[bytes]") -> None:
        with self._changed:
            living = self._living()
            if not living:
                self._held.append((frame, future))
                return
            number = min(living, key=lambda number: len(living[number].outstanding))
            engine = living[number]
            engine.outstanding.append(future)
        view = self._views.setdefault(number, self.client.direct_view(number))
        try:
            sent = view.apply_async(run_frame, frame)
        except Exception as error:  # the engine left between the look and the call
            self._resolve(engine, future, WorkerDied(str(error), str(engine.worker), started=False))
            return
        sent.add_done_callback(lambda done: self._receive(engine, future, done))

    def _receive(self, engine: _Engine, future: "Future[bytes]", done: AsyncResult) -> None:
        try:
            outcome = done.result(0)
        except DeadEngine as error:
            with self._changed:
                started = not engine.dead.startswith("told") and engine.outstanding[0] is future
                status = engine.dead or str(error)
                engine.dead = f"told {status}"
            self._resolve(
                engine, future, WorkerDied(f"{engine.worker} {status}", str(engine.worker), started)
            )
        except Exception as error:
            self._resolve(engine, future, error)
        else:
            self._resolve(engine, future, None, outcome)
        finally:
            self.client.purge_local_results(done)

    def _resolve(
        self, engine: _Engine, future: "Future[bytes]", error: BaseException | None, outcome: bytes = b""
    ) -> None:
        with self._changed:
            engine.outstanding.remove(future)
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(outcome)

    def interrupt(self, future: "Future[bytes]") -> None:
        """Kill the engine that works on a frame; its launcher forks another."""
        with self._changed:
            numbers = [number for number, engine in self._living().items() if future in engine.outstanding]
        for number in numbers:
            self._kill(number)

    def fail(self, reason: str) -> None:
        """Fail all that is outstanding: the engines can no longer be reached."""
        with self._changed:
            futures = [future for engine in self._engines.values() for future in engine.outstanding]
            futures += [future for _, future in self._held]
            self._held.clear()
            for engine in self._engines.values():
                engine.dead = engine.dead or reason
        for future in futures:
            if not future.done():
                future.set_exception(EngineError(reason))

    def probe(self, timeout: float) -> None:
        """Run nothing on every engine, once: the connections are then open in both directions."""
        self.client[:].apply_async(int).get(timeout)

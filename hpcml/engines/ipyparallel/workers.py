"""The driver's view of the engines: frames out by ipyparallel's client, deaths and replacements in.

::

    dispatcher thread ── submit ──> request to the least busy engine ──> engine
    client's IO thread ── result, or EngineError ──> frame's future ──> dispatcher's inbox
    news thread ── the launchers' messages: engines forked and died ──> table of engines

One lock protects the table of engines and the frames to interrupt.
"""

import logging
import threading
import time
from collections.abc import Callable, Set
from concurrent.futures import Future

from ipyparallel import Client
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import NoEnginesRegistered, RemoteError

from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Staging
from hpcml.engines.ipyparallel.client import ask_engines, await_late_answers, send_frame
from hpcml.engines.ipyparallel.engine_state import EngineState, preference
from hpcml.engines.ipyparallel.held import HeldOutcomes
from hpcml.engines.worker import Worker
from hpcml.errors import EngineError, WorkerDied

__all__ = ["EngineWorkers"]

log = logging.getLogger("hpcml")

REPORT_SECONDS = 1.0  # in which a launcher tells of an engine's end


class EngineWorkers:
    """The engines of all nodes; see `hpcml.engines.interface.Workers`.

    Parameters
    ----------
    client
        ipyparallel's client, connected.
    kill
        Tells the launchers to kill an engine, by its id.
    """

    def __init__(self, client: Client, kill: Callable[[int], None]) -> None:
        self.client = client
        self.staging: Staging = LocalStaging([])
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        self.held = HeldOutcomes()
        self._kill = kill
        self._lock = threading.Lock()  # protects _engines
        self._engines: dict[int, EngineState] = {}
        self._unwanted: set[Future[bytes]] = set()  # frames to interrupt; also under the lock
        self.connect(client)

    @property
    def slots(self) -> int:
        """Number of engines, those included that a launcher has just forked."""
        with self._lock:
            return sum(not engine.dead for engine in self._engines.values())

    @property
    def ready(self) -> int:
        """Number of engines that are registered and alive."""
        with self._lock:
            return sum(not engine.killed for engine in self._living().values())

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have a living engine, in order."""
        with self._lock:
            return tuple(dict.fromkeys(engine.worker.host for engine in self._living().values()))

    def _living(self) -> dict[int, EngineState]:
        """Return the engines that can be sent to, in the order of their ids: Slurm's order of nodes."""
        engines = sorted(self._engines.items())
        return {number: engine for number, engine in engines if engine.registered and not engine.dead}

    def forked(self, host: str, slots: dict[int, int]) -> None:
        """Note engines that a launcher has forked: their ids and slots."""
        with self._lock:
            for number, slot in slots.items():
                self._engines[number] = EngineState(Worker(host, slot))
        self._note_registered()

    def died(self, number: int, status: str) -> None:
        """Note the death of an engine; what it had to do fails when the hub tells the client."""
        with self._lock:
            engine = self._engines.get(number)
            if engine is None:  # of a controller that is gone
                return
            engine.dead, engine.ended, engine.silent_since = f"ended: {status}", True, 0.0
        level = logging.DEBUG if engine.killed else logging.WARNING
        log.log(level, "worker %s ended: %s; another takes its place", engine.worker, status)
        self.on_change()

    def _note_registered(self) -> None:
        registered = set(self.client._ids)
        with self._lock:
            for number, engine in self._engines.items():
                if engine.registered and number not in registered:
                    engine.dead = engine.dead or "no longer answers"
                    engine.silent_since = 0.0 if engine.ended else time.monotonic()
                engine.registered = number in registered
        self.on_change()

    def ask_hub(self) -> None:
        """Ask which engines have registered, when some are missing; see `client.ask_engines`."""
        with self._lock:
            if all(engine.registered or engine.dead for engine in self._engines.values()):
                return
        ask_engines(self.client, self._note_registered)

    def end_silent(self) -> None:
        """Kill engines that have fallen silent, and of whose end the launchers say nothing.

        One may be frozen, and its node with it. When that comes back, another engine takes its place.
        """
        late = time.monotonic() - REPORT_SECONDS
        with self._lock:
            engines = self._engines.items()
            silent = [(number, engine) for number, engine in engines if 0 < engine.silent_since < late]
            for _, engine in silent:
                engine.silent_since = 0.0
        for number, engine in silent:
            log.warning("worker %s no longer answers; what it was doing runs elsewhere", engine.worker)
            self._kill(number)

    def having_engines(self) -> set[str]:
        """Return the nodes with an engine that is alive, or has just been forked."""
        with self._lock:
            return {engine.worker.host for engine in self._engines.values() if not engine.dead}

    def lose(self, hosts: Set[str], reason: str) -> None:
        """Give up the engines of `hosts`; what they had to do fails, and no task is held responsible."""
        with self._lock:
            lost = [engine for engine in self._engines.values() if engine.worker.host in hosts]
            for engine in lost:
                engine.dead, engine.ended, engine.silent_since = engine.dead or reason, True, 0.0
        self._fail_outstanding(lost, reason)
        self.on_change()

    def disconnect(self, reason: str) -> None:
        """Give up all engines, for their controller is gone, as `lose` does."""
        with self._lock:
            lost = list(self._engines.values())
            self._engines.clear()
        self._fail_outstanding(lost, reason)
        self.client.close(linger=0)

    def _fail_outstanding(self, engines: list[EngineState], reason: str) -> None:
        with self._lock:
            futures = [future for engine in engines for future in engine.outstanding]
            self._unwanted.difference_update(futures)
            for engine in engines:
                engine.outstanding.clear()
        for future in futures:
            future.set_exception(WorkerDied(reason, started=False))

    def connect(self, client: Client) -> None:
        """Go on with another controller; its engines are about to be forked."""
        self.client = client
        await_late_answers(client)
        client._registration_callbacks.append(lambda _: self._note_registered())

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the engine with the least to do; see `hpcml.engines.interface.Workers`."""
        future: Future[bytes] = Future()
        self._send(frame, future, {worker.rpartition(":")[0] for worker in avoid})
        return future

    def _send(self, frame: bytes, future: "Future[bytes]", avoid: Set[str]) -> None:
        sent = None
        while sent is None:
            with self._lock:
                # One that is being killed could still begin a frame, which would then run twice.
                living = {number: one for number, one in self._living().items() if not one.killed}
                if not living:
                    future.set_exception(WorkerDied("no worker is there just now", started=False))
                    return
                number = min(living, key=lambda number: preference(living[number], avoid))
                engine = living[number]
                engine.outstanding.append(future)
                engine.sent = time.monotonic()
            try:
                sent = send_frame(self.client, number, frame)
            except (IndexError, NoEnginesRegistered):  # the client knows of its death, and this does not yet
                with self._lock:
                    engine.dead = "is gone"
                    engine.outstanding.remove(future)
        sent.add_done_callback(lambda done: self._receive(engine, future, done))

    def _receive(self, engine: EngineState, future: "Future[bytes]", done: MessageFuture) -> None:
        outcome = done.result()
        try:
            if isinstance(outcome, Exception):
                raise outcome
        except RemoteError as error:  # not of a task: `run_frame` returns what that raised
            with self._lock:
                started = not engine.told and engine.outstanding[:1] == [future]
                engine.told = engine.told or started  # the client fails them in any order
                engine.dead = engine.dead or str(error)
                if error.ename != "EngineError":  # it lives, in what state nobody knows: `end_silent` kills it
                    engine.silent_since = time.monotonic()
            death = WorkerDied(f"{engine.worker} {engine.dead}", str(engine.worker), started)
            self._fail_one(engine, future, death)
        except Exception as error:
            self._fail_one(engine, future, error)
        else:
            if self._forget(engine, future):
                self.held.add(engine.worker, outcome, lambda: future.set_result(outcome))
        finally:
            self.client.purge_local_results(done.msg_id)
            self.client.history.clear()  # it would keep the number of each frame

    def _fail_one(self, engine: EngineState, future: "Future[bytes]", error: BaseException) -> None:
        if self._forget(engine, future):
            future.set_exception(error)

    def _forget(self, engine: EngineState, future: "Future[bytes]") -> bool:
        """Take a frame off its engine; False where `_fail_outstanding` has resolved it."""
        with self._lock:
            outstanding = future in engine.outstanding
            if outstanding:
                engine.outstanding.remove(future)
            self._unwanted.discard(future)
        if self._unwanted:
            self._kill_unwanted()
        return outstanding

    def interrupt(self, future: "Future[bytes]") -> None:
        """Kill the engine that works on a frame, now or when the frame's turn comes; another is forked."""
        with self._lock:
            self._unwanted.add(future)
        self._kill_unwanted()

    def _kill_unwanted(self) -> None:
        with self._lock:
            numbers = [
                number
                for number, engine in self._living().items()
                if not engine.killed and engine.outstanding and engine.outstanding[0] in self._unwanted
            ]
            for number in numbers:
                self._engines[number].killed = True
        for number in numbers:
            self._kill(number)

    def fail(self, reason: str) -> None:
        """Give up: the engines can no longer be reached."""
        with self._lock:
            for engine in self._engines.values():
                engine.dead = engine.dead or reason
        self.on_broken(EngineError(reason))

    def probe(self, timeout: float) -> None:
        """Run nothing on every engine, once: the connections are then open in both directions."""
        self.client[:].apply_async(int).get(timeout)

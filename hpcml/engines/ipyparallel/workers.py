"""The engines as workers: ipyparallel's client sends the frames, news of deaths and replacements change the table.

::

    dispatcher thread ── submit ──> request to the least busy engine ──> engine
    client's IO thread ── outcomes, or EngineFailed ──> frame's future ──> dispatcher's inbox
    news thread ── the launchers' messages: engines forked and died ──> table of engines

The lock of the table protects the frames to interrupt, too.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from concurrent.futures import Future
from typing import Any

from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Staging
from hpcml.engines.interrupts import Interrupts
from hpcml.engines.ipyparallel.client import EngineClient, EngineFailed
from hpcml.engines.ipyparallel.engine_state import EngineState
from hpcml.engines.ipyparallel.engine_table import EngineTable
from hpcml.engines.ipyparallel.ranks import Ranks
from hpcml.engines.ipyparallel.views import ViewClient
from hpcml.engines.nodes.delayed_outcomes import DelayedOutcomes
from hpcml.errors import EngineError, WorkerDied

__all__ = ["EngineWorkers"]

log = logging.getLogger("hpcml")


class EngineWorkers:
    """The engines of all nodes; see `hpcml.engines.interface.Workers`.

    Parameters
    ----------
    client
        Client of the controller.
    kill
        Orders the launchers to kill an engine, by its id.
    """

    def __init__(self, client: EngineClient, kill: Callable[[int], None]) -> None:
        self.staging: Staging = LocalStaging([])
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        self.ranks: Ranks | None = None  # of MPI, where engines are that
        self.delayed = DelayedOutcomes()
        self._kill = kill
        self._table = EngineTable()
        self._interrupts: Interrupts[EngineState] = Interrupts(
            self._table.lock, self._table.usable, lambda engine: kill(engine.number)
        )
        self._views: ViewClient | None = None
        self._connecting = threading.Lock()  # protects _views: it is made when a thread first asks for it
        self.connect(client)

    @property
    def client(self) -> Any:
        """A client of ipyparallel's own, apart from that of the frames; see `hpcml.Cluster.client`."""
        with self._connecting:
            if self._views is None or self._views.is_closed:
                self._views = ViewClient(**self._client.connection)
            return self._views

    @property
    def connection(self) -> dict[str, Any]:
        """Arguments of ipyparallel's Client that connect it to these engines."""
        return self._client.connection

    @property
    def slots(self) -> int:
        """Number of engines, those included that a launcher has just forked."""
        return self._table.slots

    @property
    def ready(self) -> int:
        """Number of engines that are registered and alive."""
        return self._table.ready

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have a living engine, in order."""
        return self._table.hosts

    @property
    def hosts_with_engines(self) -> set[str]:
        """The nodes with an engine that is alive, or has just been forked."""
        return self._table.hosts_with_engines

    # -- news of the engines -------------------------------------------------------------------------------------
    def connect(self, client: EngineClient) -> None:
        """Use the client of another controller, whose engines are about to be forked."""
        with self._connecting:
            self._client = client
            self._close_views()
        client.on_registration(self._note_registered)

    def _close_views(self) -> None:
        if self._views is not None:
            self._views.close(linger=0)
            self._views = None

    def _note_registered(self) -> None:
        self._table.update_registered(lambda: self._client.registered)
        self.on_change()

    def forked(self, host: str, slots: dict[int, int]) -> None:
        """Note engines that a launcher has forked: their ids and slots."""
        self._table.add(host, slots)
        self._note_registered()

    def died(self, number: int, status: str) -> EngineState | None:
        """Note the death of an engine; its frames fail when the hub reports the death to the client.

        Return its last state; None where the engine has been replaced already.
        """
        engine = self._table.end(number, status)
        if engine is not None:
            self.on_change()
        return engine

    def become_ranks(self, restart: Callable[[str, int], None]) -> None:
        """Have engines that are ranks of MPI; see `Ranks` for `restart`."""
        self.ranks = Ranks(self._table, self._send_to, restart)

    def replace_all(self, forked: Mapping[str, Mapping[int, int]], reason: str) -> None:
        """Give up all engines, for others are forked in their place: of each host their ids and slots."""
        failed = self._table.replace_all(forked, reason)
        with self._table.lock:
            self._interrupts.discard([future for future, _ in failed])
        for future, error in failed:
            future.set_exception(error)
        self._note_registered()

    def ask_hub(self) -> None:
        """Ask the hub which engines have registered, when some are missing; see `EngineClient.ask_engines`."""
        if self._table.is_registration_missing:
            self._client.ask_engines(self._note_registered)

    def end_silent(self) -> list[EngineState]:
        """Kill engines that are silent, and whose end the launchers have not reported.

        Such an engine may be frozen, and its node with it. When that comes back, another engine takes its place.
        Return these engines.
        """
        silent = self._table.take_silent()
        for engine in silent:
            log.warning("worker %s no longer answers; its tasks run elsewhere", engine.worker)
            self._kill(engine.number)
        return silent

    def lose(self, hosts: Set[str], reason: str) -> None:
        """Give up the engines of `hosts`; their frames fail, and no task is held responsible."""
        self._fail_frames(self._table.end_hosts(hosts, reason), reason)
        self.on_change()

    def disconnect(self, reason: str) -> None:
        """Give up all engines, for their controller is gone, as `lose` does."""
        self._fail_frames(self._table.clear(), reason)
        self._client.close()

    def _fail_frames(self, futures: Iterable["Future[bytes]"], reason: str) -> None:
        with self._table.lock:
            self._interrupts.discard(futures)
        for future in futures:
            future.set_exception(WorkerDied(reason, started=False))

    def fail(self, reason: str) -> None:
        """Give up: the engines can no longer be reached."""
        self._table.end_all(reason)
        if self.ranks is not None:
            self.ranks.failure = reason
        self.on_broken(EngineError(reason))

    # -- frames --------------------------------------------------------------------------------------------------
    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the engine with the least to do; see `hpcml.engines.interface.Workers`."""
        future: Future[bytes] = Future()
        self._send(frame, future, {worker.rpartition(":")[0] for worker in avoid})
        return future

    def _send(self, frame: bytes, future: "Future[bytes]", avoid: Set[str]) -> None:
        while (engine := self._table.choose(future, avoid)) is not None:
            if self._send_to(engine, frame, future):
                return
            self._table.refuse(engine, future)
        future.set_exception(WorkerDied("no worker is there just now", started=False))

    def _send_to(self, engine: EngineState, frame: bytes, future: "Future[bytes]") -> bool:
        return self._client.send_frame(engine.number, frame, self._receiver(engine, future))

    def _receiver(self, engine: EngineState, future: "Future[bytes]") -> Callable[[bytes | Exception], None]:
        return lambda answer: self._receive(engine, future, answer)

    def _receive(self, engine: EngineState, future: "Future[bytes]", answer: bytes | Exception) -> None:
        """Resolve the future of a frame; an error of the frame's task is no exception here, but in its outcome."""
        if isinstance(answer, EngineFailed):
            with self._table.lock:
                started = engine.fail_first(future)
                engine.fail_request(str(answer), is_alive=answer.is_alive, now=time.monotonic())
            answer = WorkerDied(f"{engine.worker} {engine.death}", str(engine.worker), started)
        if not self._take_back(engine, future):
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            outcomes = answer
            self.delayed.add(engine.worker, outcomes, lambda: future.set_result(outcomes))

    def _take_back(self, engine: EngineState, future: "Future[bytes]") -> bool:
        """Take a frame off its engine; False where `_fail_frames` has resolved its future."""
        with self._table.lock:
            is_outstanding = future in engine.outstanding
            if is_outstanding:
                engine.outstanding.remove(future)
            self._interrupts.discard([future])
        self._interrupts.kill_due()
        return is_outstanding

    def frames_running(self) -> dict[str, "Future[bytes]"]:
        """Return the frame that each busy engine runs now."""
        return self._table.first_frames()

    def interrupt(self, future: "Future[bytes]") -> None:
        """Kill the engine that runs a frame, now or when the frame's turn comes; another is forked."""
        self._interrupts.interrupt(future)

    def probe(self, timeout: float) -> None:
        """Open the connections to every engine in both directions, by a call without effect."""
        self._client.probe(timeout)

    def close(self) -> None:
        """Close the clients."""
        with self._connecting:
            self._close_views()
        self._client.close()

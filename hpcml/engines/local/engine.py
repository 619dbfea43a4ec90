"""Engine ``local``: worker processes on this computer, without Slurm.

Each slot has a loky executor of one worker, which starts the process and sees its end. A pool of many workers
(loky's, multiprocessing's, concurrent.futures') is broken as a whole when one of them is killed; with an executor
for each only the frames of that worker are lost, and its executor is replaced. Frames are sent past loky; see
`frames`.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field

from hpcml.data.staging.directories import DataDirectories
from hpcml.data.staging.file_system import LocalStaging
from hpcml.engines.descendants import end_trees
from hpcml.engines.interrupts import Interrupts
from hpcml.engines.local.executors import outlive_main, removed_after_a_kill
from hpcml.engines.local.frames import Channels
from hpcml.engines.local.prints import PrintReader
from hpcml.engines.local.process import LocalProcess, ProcessSettings
from hpcml.engines.plan import Plan
from hpcml.engines.streams import open_pipes
from hpcml.engines.worker import Worker
from hpcml.errors import EngineError, WorkerDied
from hpcml.slurm.slots import thread_variables

__all__ = ["LocalWorkers", "start"]

log = logging.getLogger("hpcml")

POLL_SECONDS = 0.1  # between two looks whether the start is still wanted


@dataclass(eq=False)
class _Slot:
    """A slot's process, and the frames that it has not answered yet.

    A process starts, has ``answered``, and in the end is ``lost``; ``killed`` means that an interrupt ends it.
    """

    worker: Worker
    process: LocalProcess
    outstanding: deque["Future[bytes]"] = field(default_factory=deque)
    answered: bool = False  # the process has started: a frame that is sent now runs at once
    lost: bool = False  # the process has ended
    killed: bool = False  # by an interrupt
    last_sent: float = 0.0  # when a frame was last sent to it


class LocalWorkers:
    """The worker processes of this computer; see `hpcml.engines.interface.Workers`."""

    def __init__(self, plan: Plan, staging: LocalStaging) -> None:
        self.staging = staging
        (node,) = plan.nodes
        self.hosts = (node.name,)
        self.slots = node.slots
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        threads = thread_variables(node.cpus_per_slot)
        self._settings = ProcessSettings(plan.directory, {**plan.environment, **threads}, threads)
        self._pipes = [open_pipes() for _ in range(node.slots)]
        self._prints = PrintReader(self._pipes, self._print)
        self._channels = Channels()
        self._lock = threading.Lock()  # protects the slots; frames are sent, answered and lost in three threads
        self._stopped = False
        self._interrupts = Interrupts(self._lock, self._busy_slots, lambda slot: slot.process.kill())
        self._slots = [self._new_slot(Worker(node.name, number)) for number in range(node.slots)]
        for slot in self._slots:
            self._watch(slot)

    @property
    def ready(self) -> int:
        """Number of workers that can take a frame now: a task's time limit does not count its worker's start."""
        with self._lock:
            return sum(slot.answered for slot in self._slots)

    def _new_slot(self, worker: Worker) -> _Slot:
        def _on_outcome(outcome: bytes) -> None:
            self._resolve(slot, outcome)

        process = LocalProcess(worker, self._settings, self._pipes[worker.slot], self._channels, _on_outcome)
        slot = _Slot(worker, process)
        return slot

    def _busy_slots(self) -> list[_Slot]:
        return [slot for slot in self._slots if not slot.lost]

    def _watch(self, slot: _Slot) -> None:
        """Note when the process of a new slot has started, and when it ends."""

        def _note_start(_: "Future[int]") -> None:
            slot.answered = True  # also where the process could not start: its first frame then fails
            self.on_change()

        slot.process.started.add_done_callback(_note_start)
        slot.process.served.add_done_callback(lambda done: self._end(slot, done.exception()))

    def warm_up(self, timeout: float, unwanted: threading.Event) -> None:
        """Wait until each worker process has answered.

        Raises
        ------
        EngineError
            Some have not within `timeout` seconds, or before `unwanted` was set.
        """
        futures = [slot.process.started for slot in self._slots]
        end = time.monotonic() + timeout
        while left := wait(futures, min(max(end - time.monotonic(), 0), POLL_SECONDS)).not_done:
            if time.monotonic() < end and not unwanted.is_set():
                continue
            log.debug("%d local workers did not come", len(left))
            raise EngineError(f"the local workers did not start within {timeout:g} s: try Cluster(timeout=…)")

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the worker with the least to do; see `hpcml.engines.interface.Workers`."""
        result: Future[bytes] = Future()
        with self._lock:
            slot = min(
                self._slots,
                key=lambda slot: (
                    not slot.answered,
                    len(slot.outstanding),
                    str(slot.worker) in avoid,
                    slot.last_sent,
                ),
            )
            renewed = slot.lost and not self._stopped  # the process could not start, and had no frame
            if renewed:
                slot = self._renew(slot)
            slot.outstanding.append(result)
            slot.last_sent = time.monotonic()
            slot.process.send(frame)
        if renewed:
            self._watch(slot)
        return result

    def _resolve(self, slot: _Slot, outcome: bytes) -> None:
        with self._lock:
            result = slot.outstanding.popleft()
            self._interrupts.discard([result])
        self._interrupts.kill_due()
        with self._prints.lock:  # wait until prints that were read while the frame ran have been shown
            pass
        result.set_result(outcome)

    def _end(self, slot: _Slot, error: BaseException | None) -> None:
        """Replace a process that has ended, and fail its frames; only the first of them may have run."""
        with self._lock:
            slot.lost = True
        slot.process.close()
        self._prints.drain(slot.worker.slot)
        new = None
        with self._lock:
            left = list(slot.outstanding)
            slot.outstanding.clear()
            self._interrupts.discard(left)
            if slot in self._slots and not self._stopped and (left or slot.process.started.exception() is None):
                new = self._renew(slot)
        if new is not None:
            self._watch(new)
        for number, result in enumerate(left):
            result.set_exception(WorkerDied(_first_line(error), str(slot.worker), started=number == 0))

    def _renew(self, slot: _Slot) -> _Slot:
        new = self._slots[self._slots.index(slot)] = self._new_slot(slot.worker)
        return new

    def frames_running(self) -> dict[str, "Future[bytes]"]:
        """Return the frame that each busy worker runs now."""
        with self._lock:
            return {str(slot.worker): slot.outstanding[0] for slot in self._slots if slot.outstanding}

    def interrupt(self, future: "Future[bytes]") -> None:
        """End the work on a frame by ending its worker, now or when the frame's turn comes."""
        self._interrupts.interrupt(future)

    def stop(self) -> None:
        """End all worker processes now."""
        with self._lock:
            self._stopped = True
        end_trees([number for slot in self._slots for number in slot.process.process_ids])
        for slot in self._slots:
            slot.process.kill(wait=True)
        self._channels.close()
        self._prints.close()

    def _print(self, slot: int, stream: int, data: bytes, ended: bool) -> None:
        self.on_print(f"{self.hosts[0]}:{slot}", stream, data, ended)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def start(plan: Plan) -> Iterator[LocalWorkers]:
    """Start the worker processes; on exit none is left."""
    outlive_main()
    with _data_directories(plan) as directories:
        workers = LocalWorkers(plan, LocalStaging(tuple(directories.paths), directories.renew))
        try:
            workers.warm_up(plan.timeout, plan.unwanted)
            yield workers
        finally:
            workers.stop()


@contextmanager
def _data_directories(plan: Plan) -> Iterator[DataDirectories]:
    """Make the directories for data, and remove them at the end."""
    directories = DataDirectories(plan.data_name, plan.data_places)
    with removed_after_a_kill(list(directories.paths)):
        try:
            yield directories
        finally:
            directories.close()

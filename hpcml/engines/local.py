"""Engine ``local``: worker processes on this computer, without Slurm.

One loky executor of one worker per slot. A pool of many workers (loky's, multiprocessing's,
concurrent.futures') is broken as a whole when one of them is killed; this way only the frames of that
worker are lost, and its executor is replaced.
"""

import logging
import multiprocessing
import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from loky import ProcessPoolExecutor
from loky.backend import resource_tracker
from loky.backend._posix_reduction import DupFd
from loky.process_executor import ShutdownExecutorError

from hpcml.children import end_trees
from hpcml.datadirs import DataDirectories
from hpcml.engines.local_end import outlive_main
from hpcml.engines.local_prints import Printed
from hpcml.errors import EngineError, WorkerDied
from hpcml.plan import Plan
from hpcml.staging import LocalStaging
from hpcml.streams import Pipes, Streams, open_pipes
from hpcml.surroundings import begin
from hpcml.threads import thread_variables
from hpcml.worker import Worker, become_worker, run_frame

__all__ = ["LocalWorkers", "start"]

log = logging.getLogger("hpcml")

LOOK_SECONDS = 0.1
GONE = (BrokenProcessPool, ShutdownExecutorError)  # what loky says of a worker that died, or was killed


class _Ends:
    """The ends of a slot's pipes: pickled for the worker that is started, they are inherited by it."""

    def __init__(self, pipes: Pipes) -> None:
        self._pipes = pipes

    def __reduce__(self) -> Any:
        return _inherited, tuple(DupFd(end) for end in (*self._pipes.readers, *self._pipes.writers))


def _inherited(*ends: Any) -> Pipes:
    out, err, to_out, to_err = [end.detach() for end in ends]
    return Pipes((out, err), (to_out, to_err))


def _initialize(worker: Worker, driver: int, pipes: Pipes, directory: str, environment: dict[str, str]) -> None:
    begin(directory, environment)
    multiprocessing.set_start_method(None, force=True)  # loky's own is for its own processes
    become_worker(worker.host, worker.slot, Streams(pipes))
    threading.Thread(target=_end_with, args=(driver,), daemon=True, name="hpcml-driver-watch").start()


def _end_with(driver: int) -> None:
    """End this worker with its driver: loky's own workers outlive a driver that was killed."""
    try:
        ended = os.pidfd_open(driver)
        if os.getppid() == driver:  # else it had ended, and its number may be another's
            select.select([ended], [], [])
    except ProcessLookupError:
        pass
    os._exit(1)


@dataclass(eq=False)
class _Slot:
    worker: Worker
    executor: ProcessPoolExecutor
    outstanding: list["Future[bytes]"] = field(default_factory=list)
    lost: bool = False  # its process is gone, and the frame that ran has been told
    answered: bool = False  # its process has started: what is sent now runs at once
    sent: float = 0.0  # when it was last given something


class LocalWorkers:
    """The worker processes of this computer; see `hpcml.workers.Workers`."""

    def __init__(self, plan: Plan, staging: LocalStaging) -> None:
        self.staging = staging
        (node,) = plan.nodes
        self.hosts = (node.name,)
        self.slots = node.slots
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self.on_print: Callable[[str, int, bytes, bool], None] = lambda *_: None
        self._threads = thread_variables(node.cpus_per_slot)
        self._around = plan.directory, {**plan.environment, **self._threads}
        self._pipes = [open_pipes() for _ in range(node.slots)]
        self._printed = Printed(self._pipes, self._print)
        self._lock = threading.Lock()  # protects the slots: submit runs in the dispatcher, _done in loky's threads
        self._stopped = False
        self._unwanted: set[Future[bytes]] = set()  # frames to interrupt; also under the lock
        self._slots = [self._new_slot(Worker(node.name, number)) for number in range(node.slots)]

    @property
    def ready(self) -> int:
        """How many workers can take a frame now; a time limit of a task does not count the start of its worker."""
        with self._lock:
            return sum(slot.answered for slot in self._slots)

    def _start_again(self, slot: _Slot) -> None:
        """Note when the process of a new slot has started."""

        def _note(started: "Future[int]") -> None:
            slot.answered = True  # one that could not start fails its first frame
            self.on_change()

        slot.executor.submit(os.getpid).add_done_callback(_note)

    def _new_slot(self, worker: Worker) -> _Slot:
        executor = ProcessPoolExecutor(
            max_workers=1,
            initializer=_initialize,
            initargs=(worker, os.getpid(), _Ends(self._pipes[worker.slot]), *self._around),
            env=self._threads,
        )
        return _Slot(worker, executor)

    def warm_up(self, timeout: float, unwanted: threading.Event) -> None:
        """Start all worker processes and wait until each has answered, or nobody wants them any longer."""
        futures = [slot.executor.submit(os.getpid) for slot in self._slots]
        end = time.monotonic() + timeout
        while left := wait(futures, min(max(end - time.monotonic(), 0), LOOK_SECONDS)).not_done:
            if time.monotonic() < end and not unwanted.is_set():
                continue
            log.debug("%d local workers did not come", len(left))
            raise EngineError(f"the local workers did not start within {timeout:g} s: try Cluster(timeout=…)")
        for slot in self._slots:
            slot.answered = True

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the worker with the least to do; see `hpcml.workers.Workers`."""
        result: Future[bytes] = Future()
        with self._lock:
            slot = min(
                self._slots,
                key=lambda slot: (not slot.answered, len(slot.outstanding), str(slot.worker) in avoid, slot.sent),
            )
            slot.outstanding.append(result)
            slot.sent = time.monotonic()
            try:
                running = slot.executor.submit(run_frame, frame)
            except GONE:  # it died with nothing to do
                slot.executor = self._new_slot(slot.worker).executor
                running = slot.executor.submit(run_frame, frame)
        running.add_done_callback(lambda done: self._done(slot, result, done))
        return result

    def _done(self, slot: _Slot, result: "Future[bytes]", done: "Future[bytes]") -> None:
        with self._lock:
            started = not slot.lost and slot.outstanding[0] is result
            slot.outstanding.remove(result)
            self._unwanted.discard(result)
        if self._unwanted and not slot.lost:
            self._kill_unwanted()
        error = done.exception()
        if error is None:
            with self._printed.lock:  # what was read while the frame ran is on its way to be shown
                pass
            result.set_result(done.result())
        elif isinstance(error, GONE):
            self._printed.drain(slot.worker.slot)
            self._replace(slot)
            result.set_exception(WorkerDied(_first_line(error), str(slot.worker), started))
        else:
            result.set_exception(error)

    def _replace(self, slot: _Slot) -> None:
        with self._lock:
            slot.lost = True
            if slot in self._slots and not self._stopped:
                new = self._slots[self._slots.index(slot)] = self._new_slot(slot.worker)
                self._start_again(new)

    def interrupt(self, future: "Future[bytes]") -> None:
        """End the work on a frame by ending its worker, now or when the frame's turn comes."""
        with self._lock:
            self._unwanted.add(future)
        self._kill_unwanted()

    def _kill_unwanted(self) -> None:
        with self._lock:
            slots = [slot for slot in self._slots if slot.outstanding and slot.outstanding[0] in self._unwanted]
        for slot in slots:
            end_trees(list(slot.executor._processes or ()))
            slot.executor.shutdown(wait=False, kill_workers=True)

    def stop(self) -> None:
        """End all worker processes now."""
        with self._lock:
            self._stopped = True
        end_trees([process for slot in self._slots for process in slot.executor._processes or ()])
        for slot in self._slots:
            slot.executor.shutdown(wait=True, kill_workers=True)
        self._printed.close()

    def _print(self, slot: int, stream: int, data: bytes, ended: bool) -> None:
        self.on_print(f"{self.hosts[0]}:{slot}", stream, data, ended)


def _first_line(error: BaseException) -> str:
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
    """Make the directories for data; loky's tracker removes them when this process is killed."""
    directories = DataDirectories(plan.data_name, plan.data_places)
    paths = list(directories.paths)
    for path in paths:
        resource_tracker.register(path, "folder")
    try:
        yield directories
    finally:
        directories.close()
        for path in paths:
            resource_tracker.unregister(path, "folder")

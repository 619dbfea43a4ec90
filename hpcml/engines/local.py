"""Engine ``local``: worker processes on this computer, without Slurm.

One loky executor of one worker per slot. A pool of many workers (loky's, multiprocessing's,
concurrent.futures') is broken as a whole when one of them is killed; this way only the frames of that
worker are lost, and its executor is replaced.
"""

import os
import select
import threading
import time
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field

from loky import ProcessPoolExecutor
from loky.backend import resource_tracker
from loky.process_executor import ShutdownExecutorError

from hpcml.children import end_trees
from hpcml.datadirs import DataDirectories
from hpcml.errors import EngineError, WorkerDied
from hpcml.plan import Plan
from hpcml.staging import LocalStaging
from hpcml.threads import thread_variables
from hpcml.worker import Worker, become_worker, run_frame

__all__ = ["LocalWorkers", "start"]

GONE = (BrokenProcessPool, ShutdownExecutorError)  # what loky says of a worker that died, or was killed


def _initialize(host: str, slot: int, driver: int) -> None:
    become_worker(host, slot)
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
    sent: float = 0.0  # when it was last given something


class LocalWorkers:
    """The worker processes of this computer; see `hpcml.workers.Workers`."""

    def __init__(self, host: str, slots: int, environment: dict[str, str], staging: LocalStaging) -> None:
        self.staging = staging
        self.hosts = (host,)
        self.slots = self.ready = slots
        self.on_change: Callable[[], None] = lambda: None
        self.on_broken: Callable[[BaseException], None] = lambda _: None
        self._environment = environment
        self._lock = threading.Lock()  # protects the slots: submit runs in the dispatcher, _done in loky's threads
        self._stopped = False
        self._unwanted: set[Future[bytes]] = set()  # frames to interrupt; also under the lock
        self._slots = [self._new_slot(Worker(host, number)) for number in range(slots)]

    def _new_slot(self, worker: Worker) -> _Slot:
        executor = ProcessPoolExecutor(
            max_workers=1,
            initializer=_initialize,
            initargs=(worker.host, worker.slot, os.getpid()),
            env=self._environment,
        )
        return _Slot(worker, executor)

    def warm_up(self, timeout: float) -> None:
        """Start all worker processes and wait until each has answered."""
        futures = [slot.executor.submit(os.getpid) for slot in self._slots]
        if wait(futures, timeout).not_done:
            raise EngineError(f"the local workers did not start within {timeout:g} s: try Cluster(timeout=…)")

    def submit(self, frame: bytes, avoid: Set[str] = frozenset()) -> "Future[bytes]":
        """Send a frame to the worker with the least to do; see `hpcml.workers.Workers`."""
        result: Future[bytes] = Future()
        with self._lock:
            slot = min(self._slots, key=lambda slot: (len(slot.outstanding), str(slot.worker) in avoid, slot.sent))
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
            result.set_result(done.result())
        elif isinstance(error, GONE):
            self._replace(slot)
            result.set_exception(WorkerDied(_first_line(error), str(slot.worker), started))
        else:
            result.set_exception(error)

    def _replace(self, slot: _Slot) -> None:
        with self._lock:
            slot.lost = True
            if slot in self._slots and not self._stopped:
                self._slots[self._slots.index(slot)] = self._new_slot(slot.worker)

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


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


@contextmanager
def start(plan: Plan) -> Iterator[LocalWorkers]:
    """Start the worker processes; on exit none is left."""
    node = plan.nodes[0]
    with _data_directories(plan) as directories:
        staging = LocalStaging(tuple(directories.paths), directories.renew)
        workers = LocalWorkers(node.name, node.slots, thread_variables(node.cpus_per_slot), staging)
        try:
            workers.warm_up(plan.timeout)
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

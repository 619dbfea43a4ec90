"""loky's executors, of one worker process each: their start, their end, and files that outlive neither.

Names of loky that are not public are in the table of `hpcml.engines.libraries`.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from loky import ProcessPoolExecutor, process_executor
from loky.backend import resource_tracker
from loky.backend._posix_reduction import DupFd
from loky.backend.context import LokyContext
from loky.backend.popen_loky_posix import Popen
from loky.backend.process import LokyProcess

from hpcml.engines.libraries import check_object

__all__ = ["WorkerExecutor", "inheritable", "leave_driver_group", "outlive_main", "removed_after_a_kill"]


class _Popen(Popen):  # type: ignore[misc]  # loky has no types
    """loky's, but it leaves the script's standard streams alone: a worker may start while the script prints.

    loky flushes them first; that raises where a disk is full, and the new process has none of their content.
    Ctrl-C is for the driver alone: until `leave_driver_group` the new process does not take it.
    """

    __module__ = Popen.__module__  # the program of the new process

    def __init__(self, process: LokyProcess) -> None:
        self.returncode: int | None = None
        self._fds: list[int] = []
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._launch(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process(LokyProcess):  # type: ignore[misc]
    _Popen = staticmethod(_Popen)


class _Context(LokyContext):  # type: ignore[misc]
    Process = _Process


class WorkerExecutor(ProcessPoolExecutor):  # type: ignore[misc]
    """Executor of one worker process, which starts with the first call that is submitted.

    Parameters
    ----------
    initializer, initargs
        Function that the process calls first, and its arguments.
    variables
        Environment variables that are set before the process' interpreter starts.
    """

    def __init__(
        self, initializer: Callable[..., None], initargs: tuple[object, ...], variables: Mapping[str, str]
    ) -> None:
        super().__init__(
            max_workers=1,
            context=_Context(),
            initializer=initializer,
            initargs=initargs,
            env=variables,
        )
        check_object("loky.process_executor:ProcessPoolExecutor()", self)

    @property
    def process_ids(self) -> list[int]:
        """Id of the process, in a list, which is empty when the process has ended."""
        return list(self._processes or ())

    def kill(self, wait: bool) -> None:
        """End the process; with `wait` return when loky's thread has ended as well."""
        self.shutdown(wait=wait, kill_workers=True)


def leave_driver_group() -> None:
    """Leave the driver's process group, all of whose processes get the Ctrl-C of a terminal or a notebook.

    A worker calls this first. The driver ends the tasks that are to end.
    """
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # drops one that came while the process started
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGINT, signal.default_int_handler)


def inheritable(descriptor: int) -> object:
    """Return an object that is pickled as a file descriptor for the process that is about to start.

    There its method ``detach`` returns the descriptor's number.
    """
    return DupFd(descriptor)


@contextlib.contextmanager
def removed_after_a_kill(directories: Sequence[str]) -> Iterator[None]:
    """Have loky's tracker, a process of its own, remove directories when this process is killed meanwhile."""
    for path in directories:
        resource_tracker.register(path, "folder")
    try:
        yield
    finally:
        for path in directories:
            resource_tracker.unregister(path, "folder")


def outlive_main() -> None:
    """Have loky end these workers when their Cluster is closed, not when the main thread ends.

    loky registers its own end when an executor starts, unless it finds that done.
    """
    if process_executor.process_pool_executor_at_exit is None:
        process_executor.process_pool_executor_at_exit = _end_others
        with contextlib.suppress(RuntimeError):  # the main thread has ended
            threading._register_atexit(_end_others)  # type: ignore[attr-defined]


def _end_others() -> None:
    """End the executors of the script itself as loky would: their threads are waited for next."""
    if any(not thread.daemon for thread in list(process_executor._threads_wakeups)):
        process_executor._python_exit()

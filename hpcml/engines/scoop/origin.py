"""Origin of SCOOP, which runs the script: sends all tasks, executes none, and fails when the pool fails."""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from hpcml.errors import EngineError

__all__ = ["PoolFailure", "ending_signals", "patch_origin", "run_as_origin"]


class PoolFailure:
    """Failure of the pool: the first error of any thread, raised in the main thread."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._ended = False
        self._lock = threading.Lock()  # protects both: the first error counts, and none after the end
        self.descriptor, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def fail(self, error: BaseException) -> None:
        """Keep the first error, and wake up the main thread; after `end`, errors are ignored."""
        with self._lock:
            if self.error is None and not self._ended:
                self.error = error
                os.write(self._writer, b"!")

    def end(self) -> None:
        """Ignore all further errors: the script has ended."""
        with self._lock:
            self._ended = True

    def check(self) -> None:
        """Raise the error, if there is one."""
        if self.error is not None:
            raise self.error


def patch_origin(library: Any, failure: PoolFailure) -> None:
    """Change SCOOP for the origin alone; `patches` has the changes that workers need too."""
    queue = library.types.FutureQueue
    communicator = library.comm.ZMQCommunicator
    append = queue.append
    pump = communicator.pumpInfoSocket
    send = communicator.sendFuture

    def _append_or_send(self: Any, future: Any) -> None:
        if future._ended() or future.greenlet is not None:
            append(self, future)
        else:
            self.socket.sendFuture(future)

    def _pump_or_fail(self: Any) -> None:
        pump(self)
        failure.check()  # SCOOP calls this again and again while it waits

    def _send_or_fail(self: Any, future: Any) -> None:
        failure.check()
        send.__get__(self)(future)

    queue.append = _append_or_send
    queue.requestFuture = lambda self: None
    queue.pop = functools.partialmethod(_pop, library, failure)
    communicator.pumpInfoSocket = _pump_or_fail
    communicator.sendFuture = _send_or_fail


def _pop(queue: Any, library: Any, failure: PoolFailure) -> Any:
    """Return the next future whose result the script waits for.

    An error meanwhile, that of a signal included, becomes the error of all pending futures: so it is raised in the
    script, where the script waits.
    """
    while True:
        try:
            queue.updateQueue()
            if not queue.ready:
                _wait(queue.socket, library, failure)
        except BaseException as error:
            _fail_all(queue, library, error)
            if not queue.ready:
                raise
        if queue.ready:
            return queue.ready.popleft()


def _wait(communicator: Any, library: Any, failure: PoolFailure) -> None:
    """Wait until a message has come, or the pool has failed."""
    if not hasattr(communicator, "arrivals"):
        communicator.arrivals = library.comm.zmq.Poller()
        for source in (
            communicator.direct_socket,
            communicator.socket,
            communicator.infoSocket,
            failure.descriptor,
        ):
            communicator.arrivals.register(source, library.comm.zmq.POLLIN)
    communicator.arrivals.poll()


def _fail_all(queue: Any, library: Any, error: BaseException) -> None:
    """Make `error` the error of all pending futures."""
    error.__traceback__ = None  # the traceback is to begin where the script waits
    for future in list(library.control.futureDict.values()):
        if future.greenlet is None and not future._ended():
            future.exceptionValue = error
            future.isDone = True
            queue.append(future)


@contextmanager
def ending_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end this process in order, with the status that a shell gives such an end."""
    signals = (signal.SIGTERM, signal.SIGHUP)

    def _leave(signum: int, _: object) -> NoReturn:
        for other in signals:
            signal.signal(other, signal.SIG_IGN)  # Slurm sends each signal more than once
        os.write(2, f"hpcml: ended by {signal.Signals(signum).name}\n".encode())
        raise SystemExit(128 + signum)

    before = {signum: signal.signal(signum, _leave) for signum in signals}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def run_as_origin(library: Any, failure: PoolFailure, function: Callable[[], int]) -> int:
    """Call `function`, which runs the script, as SCOOP's root task; return the script's exit status.

    Raises
    ------
    EngineError, WorkerDied
        The pool has failed, and the script has ended with status 0, or not at all.
    """
    hook = sys.excepthook
    outcome: list[int] = []

    def _root() -> None:
        sys.excepthook = hook  # SCOOP's own would end the pool, and print to its log
        outcome.append(function())
        failure.end()

    try:
        library.futures._startup(_root)
    finally:
        sys.excepthook = hook
    if not outcome or outcome[0] == 0:
        failure.check()
    if not outcome:
        raise EngineError("SCOOP's pool ended before the script")
    return outcome[0]

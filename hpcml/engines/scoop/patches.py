"""Changes to SCOOP, from outside: unchanged, it executes long tasks twice, hangs when a worker ends, and more.

========================  ========================================================================================
SCOOP 0.7.2.0             SCOOP here
========================  ========================================================================================
a thread reports status   no thread does: it would use a socket of another thread (messages got mixed up)
tasks beyond 2 s run      the origin does not ask again for a task; a worker's death ends the run with an error
twice
``timelen`` counts all    it returns only whether there are any
a worker asks for tasks   it asks once, and again when it has got one
again and again
``flush`` sends futures   it sends those that wait
that are done
``_recv`` may block       it returns when there is nothing to receive
a bad pickle ends all     the failure is the error of its future (`packing`)
``_waitAny`` raises the   it raises the errors of the futures that it waits for
errors of others
peers are connected in    each process sends results on sockets of its own to each peer: of two connections
both directions at once   between the same two, a ROUTER reads one only, and the results in the other were lost
lambdas and methods are   they are sent with their tasks, by value; variables of a lambda's surroundings too
shared first, with a wait
ports by `random`         by the system's random numbers: scripts seed Python's, and would get the same ports again
========================  ========================================================================================

`scoop._control`, the scheduler, is unchanged.
"""

import functools
import logging
import pickle
import random
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from hpcml.engines.scoop.packing import dumps, name_of, pack_outcome, pack_task, unpack
from hpcml.errors import TaskError

__all__ = ["patch", "patch_worker"]

NO_REPORT_SECONDS = 1e8  # between two reports of status: none comes


def patch(library: Any, zmq: Any, worker: str) -> None:
    """Change SCOOP as both the origin and the workers need it.

    Parameters
    ----------
    zmq
        The replacement of the module zmq; see `curve.secured`.
    worker
        The name of this process in messages.
    """
    library.scoop.TIME_BETWEEN_STATUS_REPORTS = NO_REPORT_SECONDS
    library.utils.initLogging = _logger
    library.scoop.logger = _logger()
    library.comm.zmq = library.broker.zmq = zmq
    library.comm.random = random.SystemRandom()
    # SCOOP still pickles shared constants itself.
    library.comm.pickle = library.encapsulation.pickle = SimpleNamespace(**{**vars(pickle), "dumps": dumps})
    queue = library.types.FutureQueue
    communicator = library.comm.ZMQCommunicator
    queue.askForPreviousFutures = lambda self: None
    queue.timelen = lambda self, futures: float("inf") if len(futures) else 0.0
    queue.flush = functools.partialmethod(_flush, library)
    communicator._reportFutures = lambda self: None
    communicator._recv = functools.partialmethod(_receive, library)
    communicator.sendFuture = functools.partialmethod(_send_future, library)
    communicator.sendResult = functools.partialmethod(_send_result, library, worker)
    communicator.addPeer = _add_peer
    library.futures._waitAny = functools.partial(_wait_any, library)
    library.futures._createFuture = functools.partial(_create_future, library)
    library.control.execStats = _NoTimes()


def patch_worker(library: Any) -> None:
    """Change SCOOP for workers alone: their requests for tasks, and their end."""
    queue = library.types.FutureQueue
    queue.requestFuture = _request_task
    queue.shutdown = lambda self: None  # SCOOP's own would wait for the broker, which has ended


def _logger(verbosity: int = 0, name: str = "") -> logging.Logger:
    """Return SCOOP's logger, and leave all others as they are; SCOOP's own function disables them."""
    logger = logging.getLogger("scoop")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.propagate = False
        logger.setLevel(logging.INFO)  # scripts write to this logger, and expect to see their lines
    return logger


def _flush(queue: Any, library: Any) -> None:
    """Send the futures that wait here for their execution."""
    while queue.movable:
        future = queue.movable.popleft()
        if future.id[0] != library.scoop.worker:
            future._delete()
        queue.socket.sendFuture(future)


def _create_future(library: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a future; lambdas and methods are sent with their tasks."""
    if not callable(function):
        raise TypeError(f"futures.submit and futures.map call a function, and {function!r} cannot be called")
    if library.scoop.IS_ORIGIN:  # the script's name on workers, which must be the same module here
        sys.modules.setdefault("SCOOP_WORKER", sys.modules["__main__"])
    return library.types.Future(library.control.current.id, function, *args, **kwargs)


class _NoTimes:
    """Empty record of the tasks' durations: SCOOP's grows with each function, and one by value is always new."""

    def __getitem__(self, key: int) -> "_NoTimes":
        return self

    def appendleft(self, seconds: float) -> None:
        """Drop a duration."""


def _request_task(queue: Any) -> None:
    """Ask the broker for a task, unless one that was asked for has not come yet."""
    if not getattr(queue.socket, "asked", False):
        queue.socket.asked = True
        queue.socket.sendRequest()


def _receive(communicator: Any, library: Any) -> Any:
    """Return a future that has come, with a task or a result; results go first."""
    if communicator.direct_socket.poll(0):
        frames = communicator.direct_socket.recv_multipart()[1:]
    elif communicator.socket.poll(0):
        frames = communicator.socket.recv_multipart()
    else:
        return None
    kind = frames[0]
    if kind not in (library.comm.TASK, library.comm.REPLY):
        return None
    future = unpack(frames[1])
    if kind == library.comm.TASK:
        communicator.asked = False
        if future.sendResultBack:
            communicator.addPeer(future.id[0])
    return future


def _send_future(communicator: Any, library: Any, future: Any) -> None:
    """Send a task to the broker; one that cannot be sent fails in the process that waits for its result."""
    try:
        packed = pack_task(future)
    except TaskError as error:
        _fail_future(communicator, library, future, error)
    else:
        communicator.socket.send_multipart([library.comm.TASK, pickle.dumps(future.id), packed])


def _fail_future(communicator: Any, library: Any, future: Any, error: Exception) -> None:
    """Make `error` the outcome of a future, in the process that waits for the future's result."""
    future.exceptionValue = error
    future.isDone = True
    if future.id[0] == library.scoop.worker:
        future._execute_callbacks()
        library.control.execQueue.append(future)
    else:
        communicator.sendResult(future)


def _add_peer(communicator: Any, peer: bytes) -> None:
    """Connect to the process that waits for a task's result, by a socket for results to that process."""
    peers = vars(communicator).setdefault("peers", {})
    if peer not in peers:
        peers[peer] = communicator.createZMQSocket(communicator.socket.type)
        peers[peer].connect(f"tcp://{peer.decode()}")


def _send_result(communicator: Any, library: Any, worker: str, future: Any) -> None:
    """Send a task's outcome to the process that waits for it: directly, or by the broker until connected."""
    zmq = library.comm.zmq
    destination = future.id[0]
    packed = pack_outcome(future, name_of(future.callable), worker)
    communicator.addPeer(destination)
    try:
        communicator.peers[destination].send_multipart([library.comm.REPLY, packed], zmq.NOBLOCK)
    except zmq.Again:
        communicator.socket.send_multipart([library.comm.REPLY, packed, destination])
    communicator.socket.send_multipart([library.comm.STATUS_DONE, pickle.dumps(future.id)])


def _wait_any(library: Any, *children: Any) -> Iterator[Any]:
    """Yield `children` as they are done; raise the error of one that has failed.

    The controller resumes this task with each future that the task has ever waited for, also with one that an
    earlier loop has left unfinished.
    """
    waiting = {}
    for index, child in enumerate(children):
        if child.exceptionValue is not None:
            raise child.exceptionValue
        if child._ended():
            child._delete()
            yield child
        else:
            child.index = index
            waiting[child.id] = child
    task = library.control.current
    while waiting:
        task.stopWatch.halt()
        done = library.futures._controller.switch(task)
        task.stopWatch.resume()
        if waiting.pop(done.id, None) is not None:
            if done.exceptionValue is not None:
                raise done.exceptionValue
            done._delete()
            yield done

"""Changes to SCOOP, from outside: it executes long tasks twice, is lost when a worker ends, and more.

========================  ========================================================================================
as it is                  as it is here
========================  ========================================================================================
a thread reports status   none does: it would use a socket that is not its own (messages got mixed up)
tasks beyond 2 s run      nobody asks what became of a task; a dead worker ends the run with an error instead
twice
``timelen`` counts all    it only tells whether there are any
a worker asks for tasks   it asks once, and again when it has got one
again and again
``flush`` sends futures   it sends those that wait
that are done
``_recv`` may block       it returns when there is nothing to receive
a bad pickle ends all     it is the error of its future (`parcels`)
``_waitAny`` raises       it raises what was waited for
what was not waited for
peers are connected in    each process sends results on sockets of its own to each peer: of two connections
both directions at once   between the same two, a ROUTER reads one only, and the results in the other were lost
lambdas and methods are   they are sent with their tasks, by value; variables of a lambda's surroundings too
shared first, with a wait
ports by `random`         by the system's random numbers: scripts seed Python's, and would get them again
========================  ========================================================================================

`scoop._control`, the scheduler, stays as it is.
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

NEVER = 1e8  # seconds


def patch(library: Any, zmq: Any, worker: str) -> None:
    """Change SCOOP as both the origin and the workers need it.

    Parameters
    ----------
    zmq
        What is to stand for the module zmq; see `curve.secured`.
    worker
        What messages call this process.
    """
    library.scoop.TIME_BETWEEN_STATUS_REPORTS = NEVER
    library.utils.initLogging = _logger
    library.scoop.logger = _logger()
    library.comm.zmq = library.broker.zmq = zmq
    library.comm.random = random.SystemRandom()
    # The one module's names that SCOOP uses, for what it still pickles itself: shared constants.
    library.comm.pickle = library.encapsulation.pickle = SimpleNamespace(**{**vars(pickle), "dumps": dumps})
    queue, communicator = library.types.FutureQueue, library.comm.ZMQCommunicator
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
    """Change what only workers do: ask for tasks, and end."""
    queue = library.types.FutureQueue
    queue.requestFuture = _request
    queue.shutdown = lambda self: None  # its process ends; the broker is gone, and would be waited for


def _logger(verbosity: int = 0, name: str = "") -> logging.Logger:
    """Return SCOOP's logger, and leave all others as they are; its own way disables them."""
    logger = logging.getLogger("scoop")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.propagate = False
        logger.setLevel(logging.INFO)  # scripts write to it, and see what they write
    return logger


def _flush(queue: Any, library: Any) -> None:
    """Send away what waits here to be executed."""
    while queue.movable:
        future = queue.movable.popleft()
        if future.id[0] != library.scoop.worker:
            future._delete()
        queue.socket.sendFuture(future)


def _create_future(library: Any, function: Any, *args: Any, **kwargs: Any) -> Any:
    """Return a future; lambdas and methods are sent with their tasks."""
    if not callable(function):
        raise TypeError(f"futures.submit and futures.map call a function, and {function!r} cannot be called")
    if library.scoop.IS_ORIGIN:  # what workers call the script; the name must lead to the same module here
        sys.modules.setdefault("SCOOP_WORKER", sys.modules["__main__"])
    return library.types.Future(library.control.current.id, function, *args, **kwargs)


class _NoTimes:
    """Forgets how long tasks took: one entry for each function, and functions by value are always new ones."""

    def __getitem__(self, key: int) -> "_NoTimes":
        return self

    def appendleft(self, seconds: float) -> None:
        """Forget it."""


def _request(queue: Any) -> None:
    """Ask the broker for a task, unless it has been asked for one that has not come."""
    if not getattr(queue.socket, "asked", False):
        queue.socket.asked = True
        queue.socket.sendRequest()


def _receive(communicator: Any, library: Any) -> Any:
    """Return a future that has come, a task's or a result's; results go first."""
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
    """Send a task to the broker; one that cannot be sent fails where it is waited for."""
    try:
        parcel = pack_task(future)
    except TaskError as error:
        _fail(communicator, library, future, error)
    else:
        communicator.socket.send_multipart([library.comm.TASK, pickle.dumps(future.id), parcel])


def _fail(communicator: Any, library: Any, future: Any, error: Exception) -> None:
    future.exceptionValue, future.isDone = error, True
    if future.id[0] == library.scoop.worker:
        future._execute_callbacks()
        library.control.execQueue.append(future)
    else:
        communicator.sendResult(future)


def _add_peer(communicator: Any, peer: bytes) -> None:
    """Connect to the process that waits for a task's result, on a socket for results to that process."""
    peers = vars(communicator).setdefault("peers", {})
    if peer not in peers:
        peers[peer] = communicator.createZMQSocket(communicator.socket.type)
        peers[peer].connect(f"tcp://{peer.decode()}")


def _send_result(communicator: Any, library: Any, worker: str, future: Any) -> None:
    """Send an executed task's outcome to the process that waits for it: straight, or by the broker until then."""
    zmq, destination = library.comm.zmq, future.id[0]
    parcel = pack_outcome(future, name_of(future.callable), worker)
    communicator.addPeer(destination)
    try:
        communicator.peers[destination].send_multipart([library.comm.REPLY, parcel], zmq.NOBLOCK)
    except zmq.Again:
        communicator.socket.send_multipart([library.comm.REPLY, parcel, destination])
    communicator.socket.send_multipart([library.comm.STATUS_DONE, pickle.dumps(future.id)])


def _wait_any(library: Any, *children: Any) -> Iterator[Any]:
    """Yield `children` as they are done; raise the error of one that has failed.

    The controller resumes this task with each future that it waited for at any time, also one that an earlier
    loop has left behind.
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

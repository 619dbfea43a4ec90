"""A worker process of engine ``local``: loky starts the process and sees its end; frames are sent past loky."""

import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import wait
from typing import Any, NamedTuple

from hpcml.data.process_state import set_start_state
from hpcml.engines.channel import Channel, serve
from hpcml.engines.descendants import end_trees
from hpcml.engines.local.executors import WorkerExecutor, inheritable, leave_driver_group
from hpcml.engines.local.frames import Channels
from hpcml.engines.streams import Pipes, Streams
from hpcml.engines.worker import Worker, become_worker, run_frame

__all__ = ["LocalProcess", "ProcessSettings"]


class ProcessSettings(NamedTuple):
    """The directory and environment of a worker, and the variables that are set before its interpreter starts."""

    directory: str
    environment: dict[str, str]
    variables: dict[str, str]


class LocalProcess:
    """The process that fills a slot.

    ``started`` is done when the process has answered, ``served`` when it has ended, with loky's error.

    Parameters
    ----------
    pipes
        Pipes of the process' standard streams.
    channels
        Channels of all workers; their thread reads the outcomes.
    on_outcome
        Called with the outcome of each frame, in the order in which the frames were sent.
    """

    def __init__(
        self,
        worker: Worker,
        settings: ProcessSettings,
        pipes: Pipes,
        channels: Channels,
        on_outcome: Callable[[bytes], None],
    ) -> None:
        self._channels = channels
        own_end, worker_end = socket.socketpair()
        self._channel = Channel(on_outcome, own_end)
        with worker_end:
            ends = _InheritedEnds(worker_end.fileno(), pipes)
            self._executor = WorkerExecutor(_initialize, (worker, os.getpid(), ends, settings), settings.variables)
            self.started: Future[int] = self._executor.submit(os.getpid)
        self.served: Future[None] = self._executor.submit(_serve)
        channels.open(self._channel)

    def send(self, frame: bytes) -> None:
        """Send a frame; one that is sent to a process that has ended is lost."""
        self._channels.send(self._channel, frame)

    def close(self) -> None:
        """Pass on the outcomes of a process that has ended, and close its socket."""
        self._channels.close_channel(self._channel)

    @property
    def process_ids(self) -> list[int]:
        """Id of the process, in a list, which is empty when the process has ended."""
        return self._executor.process_ids

    def kill(self, wait: bool = False) -> None:
        """End the process and all that it has started."""
        end_trees(self.process_ids)
        self._executor.kill(wait)


class _InheritedEnds:
    """The ends of a slot's socket and pipes: the worker that they are pickled for inherits them at its start."""

    def __init__(self, frames: int, pipes: Pipes) -> None:
        self._frames = frames
        self._pipes = pipes

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        descriptors = (self._frames, *self._pipes.readers, *self._pipes.writers)
        return _rebuild_ends, tuple(inheritable(end) for end in descriptors)


def _rebuild_ends(*ends: Any) -> tuple[socket.socket, Pipes]:
    frames, out, err, to_out, to_err = [end.detach() for end in ends]
    return socket.socket(fileno=frames), Pipes((out, err), (to_out, to_err))


_frames: socket.socket | None = None  # this worker's end of its socket


def _initialize(worker: Worker, driver: int, ends: tuple[socket.socket, Pipes], settings: ProcessSettings) -> None:
    global _frames
    leave_driver_group()
    set_start_state(settings.directory, settings.environment)
    multiprocessing.set_start_method(None, force=True)  # loky's own is for its own processes
    _frames, pipes = ends
    _frames.set_inheritable(False)
    become_worker(worker.host, worker.slot, Streams(pipes))
    threading.Thread(target=_exit_with_driver, args=(driver,), daemon=True, name="hpcml-driver-watch").start()


def _serve() -> None:
    """Run frames until the driver closes the socket, or this process ends."""
    assert _frames is not None
    serve(_frames, run_frame)


def _exit_with_driver(driver: int) -> None:
    """End this worker when its driver ends: loky's own workers outlive a driver that was killed."""
    try:
        ended = os.pidfd_open(driver)
        # Where the parent is another process, the driver has ended, and its id may be another process' now.
        if os.getppid() == driver:
            wait([ended])
    except ProcessLookupError:
        pass
    os._exit(1)

"""A worker process of engine ``local``: loky starts the process and sees its end; frames are sent past loky."""

import multiprocessing
import os
import select
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from loky import ProcessPoolExecutor
from loky.backend._posix_reduction import DupFd
from loky.backend.context import LokyContext
from loky.backend.popen_loky_posix import Popen
from loky.backend.process import LokyProcess

from hpcml.data.process_state import set_start_state
from hpcml.engines.children import end_trees
from hpcml.engines.local.frames import Channel, Channels, serve
from hpcml.engines.streams import Pipes, Streams
from hpcml.engines.worker import Worker, become_worker, run_frame

__all__ = ["Around", "LocalProcess"]


class Around(NamedTuple):
    """The directory and environment of a worker, and the variables that are set before its interpreter starts."""

    directory: str
    environment: dict[str, str]
    variables: dict[str, str]


class _Popen(Popen):  # type: ignore[misc]  # loky has no types
    """loky's, but it leaves the script's standard streams alone: a worker may start while the script prints.

    loky flushes them first; that raises where a disk is full, and the new process has none of their content.
    """

    __module__ = Popen.__module__  # the program of the new process

    def __init__(self, process: Any) -> None:
        self.returncode: int | None = None
        self._fds: list[int] = []
        self._launch(process)


class _Process(LokyProcess):  # type: ignore[misc]
    _Popen = staticmethod(_Popen)


class _Context(LokyContext):  # type: ignore[misc]
    Process = _Process


class LocalProcess:
    """The process that fills a slot.

    Parameters
    ----------
    pipes
        Those of its standard streams.
    channels
        Reads its outcomes.
    take
        Takes the outcome of each frame, in the order in which the frames were sent.
    """

    def __init__(
        self,
        worker: Worker,
        around: Around,
        pipes: Pipes,
        channels: Channels,
        take: Callable[[bytes], None],
    ) -> None:
        self._channels = channels
        self._channel = Channel(take)
        with self._channel.far as far:
            self._executor = ProcessPoolExecutor(
                max_workers=1,
                context=_Context(),
                initializer=_initialize,
                initargs=(worker, os.getpid(), _Ends(far.fileno(), pipes), around),
                env=around.variables,
            )
            self.started: Future[int] = self._executor.submit(os.getpid)
        self.served: Future[None] = self._executor.submit(_serve)
        channels.open(self._channel)

    def send(self, frame: bytes) -> None:
        """Send a frame; one that is sent to a process that has ended is lost."""
        self._channels.send(self._channel, frame)

    def close(self) -> None:
        """Pass on the outcomes of a process that has ended, and close its socket."""
        self._channels.drop(self._channel)

    @property
    def process_ids(self) -> list[int]:
        """Id of the process, in a list, which is empty when the process has ended."""
        return list(self._executor._processes or ())

    def kill(self, wait: bool = False) -> None:
        """End the process and all that it has started."""
        end_trees(self.process_ids)
        self._executor.shutdown(wait=wait, kill_workers=True)


class _Ends:
    """The ends of a slot's socket and pipes: pickled for the worker that is started, they are inherited by it."""

    def __init__(self, frames: int, pipes: Pipes) -> None:
        self._frames = frames
        self._pipes = pipes

    def __reduce__(self) -> Any:
        descriptors = (self._frames, *self._pipes.readers, *self._pipes.writers)
        return _inherited, tuple(DupFd(end) for end in descriptors)


def _inherited(*ends: Any) -> tuple[socket.socket, Pipes]:
    frames, out, err, to_out, to_err = [end.detach() for end in ends]
    return socket.socket(fileno=frames), Pipes((out, err), (to_out, to_err))


_frames: socket.socket | None = None  # of this worker


def _initialize(worker: Worker, driver: int, ends: tuple[socket.socket, Pipes], around: Around) -> None:
    global _frames
    set_start_state(around.directory, around.environment)
    multiprocessing.set_start_method(None, force=True)  # loky's own is for its own processes
    _frames, pipes = ends
    _frames.set_inheritable(False)
    become_worker(worker.host, worker.slot, Streams(pipes))
    threading.Thread(target=_end_with, args=(driver,), daemon=True, name="hpcml-driver-watch").start()


def _serve() -> None:
    """Run frames until the driver closes the socket, or this process ends."""
    assert _frames is not None
    serve(_frames, run_frame)


def _end_with(driver: int) -> None:
    """End this worker with its driver: loky's own workers outlive a driver that was killed."""
    try:
        ended = os.pidfd_open(driver)
        if os.getppid() == driver:  # else it had ended, and its number may be another's
            select.select([ended], [], [])
    except ProcessLookupError:
        pass
    os._exit(1)

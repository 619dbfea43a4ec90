"""Staging by ``sbcast``, to the nodes of a Slurm allocation."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Protocol

from hpcml.data.staging.file_system import FirstWithSpace, failure_reason, total_nbytes, write_all
from hpcml.data.staging.files import OpenCopies, unverified_path
from hpcml.data.staging.store import Parts
from hpcml.errors import CommandError, DataError
from hpcml.slurm.commands import sbcast
from hpcml.slurm.process import run

__all__ = ["Nodes", "SbcastStaging", "write_source"]

MIN_BYTES_PER_SECOND = 1e7  # a slower transfer is given up


class Nodes(Protocol):
    """The nodes of an engine, to which data is sent."""

    def steps(self) -> Sequence[str]:
        """Return the steps, as ``job.step``, that run on the nodes not lost; several in a heterogeneous job."""

    @property
    def directories(self) -> Sequence[str]:
        """Directories that each node has of its own, the best first."""

    def remove(self, path: str) -> None:
        """Remove a file on all nodes, later."""

    def free_bytes(self) -> Mapping[str, Mapping[str, int]]:
        """Return for each node the free bytes of its directories; nodes that do not answer are lost."""


def write_source(scratch: Sequence[str], content: Parts) -> BinaryIO:
    """Write content to a file without a name, in the first of the directories `scratch` that takes it.

    Raises
    ------
    DataError
        No directory has room.
    """
    failures = []
    for place in scratch:
        try:
            source: BinaryIO = tempfile.TemporaryFile(dir=place, buffering=0)  # noqa: SIM115  # the caller's
            write_all(source, content)
            return source
        except OSError as error:  # the file has no name: the collector closes and so removes it
            failures.append(f"{place}: {failure_reason(error)}")
    nbytes = total_nbytes(content)
    raise DataError(
        f"{nbytes:,} bytes of data cannot be written on this host, to be sent to the nodes:\n    "
        + "\n    ".join(failures)
        + "\nSet TMPDIR to a directory with room, or name one that all nodes share: Cluster(data_dir=…)"
    )


class SbcastStaging:
    """Slurm's own broadcast to the nodes of a step: each node receives the data once, from its neighbour.

    Parameters
    ----------
    scratch
        Directories of this host, for the file that is sent. The file has no name there, so that none stays behind.
    """

    distant = True

    def __init__(self, nodes: Nodes, scratch: Sequence[str], environment: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._scratch = tuple(scratch)
        self._environment = environment
        self._places = FirstWithSpace(nodes.directories)
        self._copies = OpenCopies()
        self._sources: dict[str, BinaryIO] = {}  # by path: files that may have to be sent again

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Send the content; see `hpcml.data.staging.store.Staging`."""
        source = write_source(self._scratch, content)
        try:
            path = self.send(source, name)
        except BaseException:
            source.close()
            raise
        self._copies.keep(path, unverified_path(path))
        if self._copies.get(path) is None:
            self._sources[path] = source
        else:  # this host is one of the nodes: its copy can be sent again
            source.close()
        return path, ""

    def send(self, source: BinaryIO, name: str) -> str:
        """Send a file of this host to the nodes, and return its path there.

        Raises
        ------
        DataError
            No directory of the nodes has space.
        """

        def _send_to(path: str) -> None:
            try:
                self._send_to_living(source.fileno(), path)
            except BaseException:
                self._nodes.remove(path)
                raise

        nbytes = os.fstat(source.fileno()).st_size
        return self._places.try_each(_send_to, name, nbytes, self._nodes.free_bytes())

    def _send_to_living(self, source: int, path: str) -> None:
        """Send a file, and once more without the nodes that were lost meanwhile."""
        steps = self._nodes.steps()
        try:
            self._send(source, path, steps)
        except CommandError:
            self._nodes.free_bytes()
            left = self._nodes.steps()
            if left == steps:
                raise
            self._send(source, path, left)

    def _send(self, descriptor: int, path: str, steps: Sequence[str]) -> None:
        nbytes = os.fstat(descriptor).st_size
        for step in steps:
            command = sbcast(step, f"/proc/self/fd/{descriptor}", unverified_path(path), nbytes)
            run(command, self._environment, timeout=60 + nbytes / MIN_BYTES_PER_SECOND, inherit=[descriptor])

    def put_again(self, path: str) -> None:
        """Send a file once more, to all nodes; see `hpcml.data.staging.store.Staging`."""
        if path not in self._sources and self._copies.get(path) is None:  # it was closed: too many were open
            self._copies.keep(path, path if os.path.exists(path) else unverified_path(path))
        source = self._sources[path].fileno() if path in self._sources else self._copies.get(path)
        self._nodes.free_bytes()
        try:
            if source is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            with contextlib.suppress(FileNotFoundError):  # sbcast would write to the file that it reads
                os.unlink(unverified_path(path))
            self._send_to_living(source, path)
        except (OSError, CommandError) as error:
            raise DataError(f"{path} is missing on a node and cannot be sent again: {error}") from error
        if path not in self._sources:
            self._copies.keep(path, unverified_path(path))

    def remove(self, path: str) -> None:
        """Remove the file on all nodes."""
        self._copies.drop(path)
        source = self._sources.pop(path, None)
        if source is not None:
            source.close()
        self._nodes.remove(path)

    def remove_name(self, name: str) -> None:
        """Remove a file that `send` has sent, on all nodes and in whichever directory."""
        for directory in self._places.directories:
            self._nodes.remove(os.path.join(directory, name))

"""Shared data on its way to the nodes of a Slurm allocation, by ``sbcast``."""

import contextlib
import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Protocol

from hpcml.data.staging.file_system import FirstWithSpace, reason, size, write_all
from hpcml.data.staging.files import Copies, unverified_path
from hpcml.data.staging.store import Parts
from hpcml.errors import CommandError, DataError
from hpcml.slurm.commands import sbcast
from hpcml.slurm.process import run

__all__ = ["Nodes", "SbcastStaging"]

SLOWEST = 1e7  # bytes per second; slower, and a transfer is given up


class Nodes(Protocol):
    """The nodes that data is for, as an engine knows them."""

    def steps(self) -> Sequence[str]:
        """Return the steps, as ``job.step``, that run on those not lost; several in a heterogeneous job."""

    @property
    def directories(self) -> Sequence[str]:
        """Directories that each of them has of its own, the best first."""

    def remove(self, path: str) -> None:
        """Remove a file on all of them, later."""

    def free_bytes(self) -> Mapping[str, Mapping[str, int]]:
        """Return for each node the bytes that its directories can take; those that do not answer are lost."""


class SbcastStaging:
    """Slurm's own broadcast to the nodes of a step: each node receives the data once, from its neighbour.

    Parameters
    ----------
    scratch
        Directories of this host, for the file that is sent; it has no name there, so none can stay behind.
    """

    distant = True

    def __init__(self, nodes: Nodes, scratch: Sequence[str], environment: Mapping[str, str]) -> None:
        self._nodes = nodes
        self._scratch = tuple(scratch)
        self._environment = environment
        self._places = FirstWithSpace(nodes.directories)
        self._copies = Copies()
        self._sources: dict[str, BinaryIO] = {}  # by path: what may have to be sent again

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Send the content; see `hpcml.data.staging.store.Staging`."""
        source = self._write_source(content)

        def _send(path: str) -> None:
            try:
                self._send_to_living(source.fileno(), path)
            except BaseException:
                self._nodes.remove(path)
                raise

        try:
            path = self._places.try_each(_send, name, size(content), self._nodes.free_bytes())
        except BaseException:
            source.close()
            raise
        self._copies.keep(path, unverified_path(path))
        if self._copies.get(path) is None:
            self._sources[path] = source
        else:  # this host is one of the nodes: its copy can be sent again
            source.close()
        return path, ""

    def _write_source(self, content: Parts) -> BinaryIO:
        said = []
        for place in self._scratch:
            try:
                source: BinaryIO = tempfile.TemporaryFile(dir=place, buffering=0)  # noqa: SIM115  # the caller's
                write_all(source, content)
                return source
            except OSError as error:  # the file has no name: closed by the collector, it is gone
                said.append(f"{place}: {reason(error)}")
        raise DataError(
            f"{size(content):,} bytes of data cannot be written on this host, to be sent to the nodes:\n    "
            + "\n    ".join(said)
            + "\nSet TMPDIR to a directory with room, or name one that all nodes share: Cluster(data_dir=…)"
        )

    def _send_to_living(self, source: int, path: str) -> None:
        """Send, and once more without the nodes that were lost meanwhile."""
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
            run(command, self._environment, timeout=60 + nbytes / SLOWEST, inherit=[descriptor])

    def put_again(self, path: str) -> None:
        """Send a file once more, to all nodes; see `hpcml.data.staging.store.Staging`."""
        if path not in self._sources and self._copies.get(path) is None:  # there were too many
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

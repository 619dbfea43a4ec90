"""Staging of shared data on the nodes of several jobs: sent to each job from one source, and to later jobs too.

A file has a name alone, for jobs that share a node have different directories; see
`hpcml.data.staging.files.use_directories`.
"""

import os
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.sbcast import write_source
from hpcml.data.staging.store import Parts
from hpcml.errors import DataError

__all__ = ["FleetStaging", "JobStaging"]

TRANSFERS = 4  # at once


class JobStaging(Protocol):
    """Staging on the nodes of one job; see `hpcml.data.staging.sbcast.SbcastStaging`."""

    def send(self, source: BinaryIO, name: str) -> str:
        """Send a file of this host to the nodes."""

    def remove_name(self, name: str) -> None:
        """Remove a file that was sent."""


class FleetStaging:
    """Staging for all jobs of a fleet; see `hpcml.data.staging.store.Staging`.

    The `Store` makes one call at a time; jobs join and leave in other threads.

    Parameters
    ----------
    scratch
        Directories of this host, for the files that are sent: they have no names there, so that none stays behind.
    shared
        A directory on a file system that all nodes share, which has the files instead; "": there is none.
    """

    distant = True

    def __init__(self, scratch: Sequence[str], shared: str = "") -> None:
        self._scratch = tuple(scratch)
        self._shared = shared
        self._in_shared = LocalStaging([shared], lambda: os.makedirs(shared, 0o700, exist_ok=True))
        self._jobs: dict[str, JobStaging] = {}
        self._sources: dict[str, BinaryIO] = {}
        self._lock = threading.RLock()  # protects both, and has each job receive each file

    def join(self, job: str, staging: JobStaging, then: Callable[[], None] = lambda: None) -> None:
        """Send all files that there are to the nodes of a job, and later ones as well.

        `then` is called before a further file can be sent.

        Raises
        ------
        DataError
            The nodes have no space.
        """
        with self._lock:
            for name, source in list(self._sources.items()):
                try:
                    staging.send(source, name)
                except ValueError:  # it was closed: no task needs it any more
                    continue
            self._jobs[job] = staging
            then()

    def leave(self, job: str) -> None:
        """Send nothing to a job any more."""
        self._jobs.pop(job, None)

    def put(self, name: str, content: Parts) -> tuple[str, str]:
        """Send the content to all jobs; see `hpcml.data.staging.store.Staging`."""
        with self._lock:
            if self._shared:
                return name, self._in_shared.put(name, content)[0]
            source = write_source(self._scratch, content)
            try:
                self._send(source, name)
            except BaseException:
                source.close()
                raise
            self._sources[name] = source
            return name, ""

    def put_again(self, path: str) -> None:
        """Send a file to all jobs once more; see `hpcml.data.staging.store.Staging`."""
        with self._lock:
            if self._shared:
                self._in_shared.put_again(os.path.join(self._shared, path))
                return
            source = self._sources.get(path)
            if source is None:
                raise DataError(f"{path} is missing on a node, and this process no longer has it")
            self._send(source, path)

    def _send(self, source: BinaryIO, name: str) -> None:
        """Send a file to all jobs; a job that has left meanwhile cannot fail."""
        jobs: Mapping[str, JobStaging] = dict(self._jobs)
        with ThreadPoolExecutor(TRANSFERS, "hpcml-data") as threads:
            sent = {job: threads.submit(staging.send, source, name) for job, staging in jobs.items()}
        for job, transfer in sent.items():
            error = transfer.exception()
            if error is not None and job in self._jobs:
                raise error

    def remove(self, path: str) -> None:
        """Remove a file everywhere; see `hpcml.data.staging.store.Staging`."""
        if self._shared:
            self._in_shared.remove(os.path.join(self._shared, path))
        source = self._sources.pop(path, None)
        if source is not None:
            source.close()
        for staging in list(self._jobs.values()):
            staging.remove_name(path)

    def close(self) -> None:
        """Remove all files of this host, and the shared directory."""
        for name in list(self._sources):
            self._sources.pop(name).close()
        if self._shared:
            shutil.rmtree(self._shared, ignore_errors=True)

"""Checkpoints of a training: versions in a directory; a resumed program loads the newest that is whole."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from hpcml.training.checkpoints.reader import VersionReader
from hpcml.training.checkpoints.surroundings import restore_random_state
from hpcml.training.checkpoints.versions import check_directory, versions_of
from hpcml.training.checkpoints.writer import Turn, VersionWriter
from hpcml.training.rank_group import group_of

__all__ = ["Checkpoints", "LoadedCheckpoint"]

log = logging.getLogger("hpcml")


@dataclass(frozen=True)
class LoadedCheckpoint:
    """Checkpoint that was loaded.

    Parameters
    ----------
    step
        The step after which it was saved.
    state
        The state that rank 0 has saved.
    rank_state
        What this rank has saved as its own; None where the ranks were fewer.
    world_size
        The number of ranks that have saved it.
    directory
        The directory in which other libraries have saved theirs; see `Checkpoints.new`.
    """

    step: int
    state: Any
    rank_state: Any
    world_size: int
    directory: Path


class Checkpoints:
    """Checkpoints of a training in a directory, which hold what a resumed program needs to end with the same bits.

    Each `save` makes a new version: a directory with the state, the random generators of each rank (`random`,
    `numpy.random`, torch), the number of ranks and threads, and the versions of libraries. A manifest with the
    SHA-256 of each file completes it, and a pointer is replaced at last. A process that is killed at any time
    leaves the version before. Arrays are in the format of `numpy.save`, other values in JSON: no code is loaded.

    One process, or one group of ranks, writes to a directory at a time; others may load from it meanwhile.

    Parameters
    ----------
    directory
        The directory, on a file system that all ranks share; it is made with mode 0700 where it is missing.
    keep
        Number of versions that are kept; None keeps all. Two are needed to survive a damaged file.
    comm
        Ranks that save and load together, and all make this object: a communicator of mpi4py, or a process group
        of torch.distributed. None is the default group of torch.distributed where that is open, else this process
        alone.

    Raises
    ------
    HpcmlError
        The directory cannot be made or written.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from hpcml.training import Checkpoints
    >>> place = tempfile.TemporaryDirectory()
    >>> with Checkpoints(place.name) as checkpoints:
    ...     loaded = checkpoints.load()
    ...     weights = loaded.state["weights"] if loaded else np.zeros(3)
    ...     for step in range(loaded.step if loaded else 0, 20):
    ...         weights += 0.5
    ...         if (step + 1) % 10 == 0:
    ...             checkpoints.save({"weights": weights}, step + 1)
    >>> Checkpoints(place.name).load().state
    {'weights': array([10., 10., 10.])}
    >>> place.cleanup()
    """

    def __init__(self, directory: str | os.PathLike[str], keep: int | None = 3, comm: Any = None) -> None:
        if keep is not None and keep < 1:
            raise ValueError(f"keep={keep}: give the number of versions that are kept, 1 or more, or None")
        self._directory = Path(directory).absolute()
        self._group = group_of(comm)
        with self._group.together():
            check_directory(self._directory)
        self._turn = Turn()
        self._reader = VersionReader(self._directory, self._group)
        self._writer = VersionWriter(self._directory, self._group, keep, self._reader.damaged)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.close(failed=error is not None)
        except Exception as late:
            if error is None:
                raise
            log.warning("a checkpoint was not saved: %s", late)

    def close(self) -> None:
        """Wait for a save in the background, and let another process write to the directory.

        Raises
        ------
        Exception
            The save in the background has failed.
        """
        self._writer.close()

    def versions(self) -> list[Path]:
        """Return the directories of the versions that were completed, the newest first."""
        return versions_of(self._directory)

    def save(self, state: Any, step: int, *, rank_state: Any = None, wait: bool = True) -> None:
        """Save a state as a new version. All ranks call this together. Arrays must not change until it returns.

        Parameters
        ----------
        state
            What all ranks share; that of rank 0 is saved. Dicts, lists and tuples of plain values, arrays of
            numpy, tensors of torch, as in ``{"model": model.state_dict(), "optimizer": optimizer.state_dict()}``.
        step
            Number of steps that were made, at least 0.
        rank_state
            What this rank alone has, such as the statistics of its batch norms.
        wait
            False copies the state and saves the copy in a thread. The memory of the copy is kept until `close`,
            for the next save. A failure is raised by the next call of `save`, `new`, `load` or `close`.

        Raises
        ------
        HpcmlError
            The state holds something that a checkpoint cannot hold, another process writes to the directory, or
            another rank has failed.
        OSError
            There is no room; the versions before are untouched.
        """
        with self._turn.taken():
            version = self._writer.begin(state, step, rank_state)
            if wait:
                self._writer.finish(version)
            else:
                self._writer.finish_apart(version)

    @contextlib.contextmanager
    def new(self, step: int, state: Any = None, *, rank_state: Any = None) -> Iterator[Path]:
        """Return a new directory in a ``with`` block, for files of other libraries; its end completes the version.

        All ranks get the same directory. Nothing is kept where the block raises an exception on one of them.
        `LoadedCheckpoint.directory` is the directory, with the files as they were written.

        Parameters
        ----------
        step, state, rank_state
            As for `save`.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from hpcml.training import Checkpoints
        >>> place = tempfile.TemporaryDirectory()
        >>> with Checkpoints(place.name) as checkpoints:
        ...     with checkpoints.new(step=10, state={"epoch": 1}) as directory:
        ...         _ = (directory / "model.txt").write_text("any library's file")
        ...     loaded = checkpoints.load()
        >>> loaded.step, loaded.state, (loaded.directory / "model.txt").read_text()
        (10, {'epoch': 1}, "any library's file")
        >>> place.cleanup()
        """
        with self._turn.taken():
            version = self._writer.begin(state, step, rank_state)
            files = version.path / "files"
            try:
                with self._group.together():
                    yield files
            except BaseException:
                self._writer.drop(version.path)
                raise
            self._writer.finish(version, [path for path in files.rglob("*") if path.is_file()])

    def load(self, *, random: bool = True) -> LoadedCheckpoint | None:
        """Return the newest version that is whole; None where none was ever completed.

        All ranks call this together.
        A warning is logged for each version that is damaged, and is passed over; and where the number of ranks or
        threads, or a version of a library, is another one than that of the save: then the results of the resumed
        program differ in the last digits from those of an uninterrupted one.

        Parameters
        ----------
        random
            Whether the random generators of this process get their saved states.

        Raises
        ------
        HpcmlError
            No version is whole.
        """
        with self._turn.taken():
            return self._load(random)

    def _load(self, random: bool) -> LoadedCheckpoint | None:
        self._writer.settle()
        version = self._reader.load()
        if version is None:
            return None
        with self._group.together():
            if version.own and random:
                restore_random_state(version.own["random"])
        self._reader.warn_of_differences(version)
        manifest = version.manifest
        return LoadedCheckpoint(
            manifest["step"],
            version.state,
            version.own.get("state"),
            manifest["world_size"],
            version.path / "files",
        )

"""Saving of a version, in the thread of the training or beside it.

::

    finish_apart()   the training's thread copies the arrays, and goes on
        │
        ▼
    thread "hpcml checkpoint"   writes this rank's part; on rank 0 waits for the others', then replaces the pointer
        │
        ▼
    thread "hpcml removal"      removes old versions: for large files, this takes a third of the time of a save

One of the first runs at a time: `begin`, `settle` and `close` join it. `close` joins the second, too.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hpcml.errors import HpcmlError
from hpcml.journal.checkpoint_lock import CheckpointLock
from hpcml.training.checkpoints.parts import Values, complete, write_part
from hpcml.training.checkpoints.surroundings import random_state, surroundings
from hpcml.training.checkpoints.values import Array, pack_values
from hpcml.training.checkpoints.versions import make_version, point_to, retire_old, versions_of
from hpcml.training.rank_group import RankGroup

__all__ = ["NewVersion", "Turn", "VersionWriter"]

_ADVICE = (
    "wait for its end, or give another directory. Ranks of one program give comm=. In the same process, close() "
    "the other Checkpoints"
)


class NewVersion(NamedTuple):
    """Version that is being saved: what this rank writes into its directory, and the rank's surroundings."""

    path: Path
    step: int
    values: Values
    about: dict[str, Any]


class Turn:
    """Turn of the thread that saves or loads; a second thread waits for its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # protects the versions of one `Checkpoints`
        self._owner = 0

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Take the turn for a block; HpcmlError where this very thread has it."""
        if self._owner == threading.get_ident():
            raise HpcmlError(
                "this thread is saving or loading a checkpoint already. In a handler of a signal set a variable, "
                "and save after the step"
            )
        with self._lock:
            self._owner = threading.get_ident()
            try:
                yield
            finally:
                self._owner = 0


class VersionWriter:
    """Writer of versions in a directory, for a group of ranks. Rank 0 holds a lock from the first version on."""

    def __init__(self, directory: Path, group: RankGroup, keep: int | None, damaged: Collection[Path]) -> None:
        self._directory = directory
        self._group = group
        self._keep = keep
        self._damaged = damaged
        self._lock: CheckpointLock | None = None
        self._copies: dict[tuple[str, int], Array] = {}
        self._thread: threading.Thread | None = None
        self._removal: threading.Thread | None = None
        self._apart: Path | None = None
        self._failure: BaseException | None = None
        self._ends = False

    def begin(self, state: Any, step: int, rank_state: Any) -> NewVersion:
        """Return a new version, with the random states of now; its arrays share the memory of the state."""
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
            raise ValueError(f"step={step!r}: give the number of steps that were made")
        self.settle()
        values: Values = {}
        made = ""
        with self._group.together():
            own = {"random": random_state(), "state": rank_state}
            values[f"rank-{self._group.rank}"] = pack_values(own, "rank_state")
            if self._group.rank == 0:
                values["state"] = pack_values(state)
                self._lock = self._lock or CheckpointLock(self._directory / "lock", self._directory, _ADVICE)
                made = str(make_version(self._directory, int(step)))
        return NewVersion(Path(self._group.gather(made)[0]), int(step), values, surroundings())

    def finish(self, version: NewVersion, others: Iterable[Path] = ()) -> None:
        """Complete a version, with files of other libraries that this rank sees."""
        mine = self._share_of([str(path.relative_to(version.path)) for path in others])
        try:
            with self._group.together():
                write_part(version.path, self._group.rank, version.values, version.about, mine)
            with self._group.together():
                old = self._publish(version)
        except BaseException:
            self.drop(version.path)
            raise
        self._remove(old)

    def finish_apart(self, version: NewVersion) -> None:
        """Copy the arrays of a version, and complete it in a thread."""
        with self._group.together():
            copied = {name: (tree, self._copied(name, arrays)) for name, (tree, arrays) in version.values.items()}
        self._apart = version.path
        self._thread = _run_apart("hpcml checkpoint", self._finish_apart, version._replace(values=copied))

    def _remove(self, directories: list[Path]) -> None:
        """Remove directories in a thread, after those of earlier calls."""
        if directories:
            _join(self._removal)
            self._removal = _run_apart("hpcml removal", _remove_all, directories)

    def _copied(self, name: str, arrays: Iterable[Array]) -> list[Array]:
        """Return copies in the memory of the former ones where they fit: new memory takes longer than the copy."""
        copies = []
        for number, array in enumerate(arrays):
            place = self._copies.get((name, number))
            if place is None or (place.shape, place.dtype) != (array.shape, array.dtype):
                place = self._copies[name, number] = np.empty_like(array, subok=False)
            np.copyto(place, array)
            copies.append(place)
        return copies

    def _finish_apart(self, version: NewVersion) -> None:
        try:
            write_part(version.path, self._group.rank, version.values, version.about, [])
            self._remove(self._publish(version))
        except BaseException as error:
            self._failure = error

    def _share_of(self, seen: list[str]) -> list[str]:
        """Return this rank's share of the files that any rank sees: not all nodes see a new file at once."""
        ranks: dict[str, list[int]] = {}
        for rank, names in enumerate(self._group.gather(seen)):
            for name in names:
                ranks.setdefault(name, []).append(rank)
        shares = enumerate(sorted(ranks.items()))
        return [name for place, (name, seers) in shares if seers[place % len(seers)] == self._group.rank]

    def _publish(self, version: NewVersion) -> list[Path]:
        """Complete a version on rank 0; return the directories that are to be removed."""
        if self._group.rank > 0:
            return []
        complete(version.path, version.step, self._group.size, self._is_ending)
        point_to(version.path)
        return retire_old(version.path, self._keep, self._damaged)

    def _is_ending(self) -> bool:
        return self._ends or not threading.main_thread().is_alive()

    def drop(self, path: Path) -> None:
        """Remove a version that failed, when no rank writes to it any more; one that is complete stays."""
        if self._group.rank == 0 and path not in versions_of(self._directory):
            shutil.rmtree(path, ignore_errors=True)

    def settle(self) -> None:
        """Wait on all ranks for the thread that saves; raise on all what failed on one."""
        try:
            with self._group.together():
                self._await_save()
        except BaseException:
            if self._apart is not None:
                self.drop(self._apart)
            raise

    def _await_save(self) -> None:
        _join(self._thread)
        self._thread = None
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self, failed: bool = False) -> None:
        """Wait for this rank's thread, and release lock and copies.

        Where the program has `failed`, other ranks may be lost, and are not waited for long.
        """
        self._ends = failed
        try:
            self._await_save()
        finally:
            self._ends = False
            self._copies.clear()
            _join(self._removal)
            if self._lock is not None:
                self._lock.release()
                self._lock = None


def _run_apart(name: str, function: Callable[[Any], None], argument: Any) -> threading.Thread | None:
    """Run a function in a thread, and return that; where Python is ending, and starts none, run it here."""
    thread = threading.Thread(target=function, args=(argument,), name=name)
    try:
        thread.start()
    except RuntimeError:
        function(argument)
        return None
    return thread


def _join(thread: threading.Thread | None) -> None:
    if thread is not None:
        thread.join()


def _remove_all(directories: Iterable[Path]) -> None:
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)

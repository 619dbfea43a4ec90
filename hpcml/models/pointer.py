"""Pointer of a model: the version that is in use, those before, and each change; one file, replaced as a whole."""

import contextlib
import getpass
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hpcml.errors import HpcmlError
from hpcml.journal.file_locks import try_lock
from hpcml.journal.private_files import sync_directory, write_atomic

__all__ = ["Change", "Pointer", "change_pointer", "read_pointer", "shared_mode"]

FILE = "current.json"
LOCK = ".lock"
LOCK_SECONDS = 30.0  # a change takes milliseconds
PAUSE_SECONDS = 0.001
KEPT_CHANGES = 200


@dataclass(frozen=True)
class Change:
    """Change of the version in use: ``kind`` is ``promote`` or ``rollback``, ``time`` seconds since the epoch."""

    version: int
    kind: str
    time: float
    user: str
    host: str


@dataclass(frozen=True)
class Pointer:
    """Versions in use, one after the other, of which the last is in use now; and the changes that led there."""

    used: tuple[int, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def version(self) -> int | None:
        """The version in use; None before the first promotion."""
        return self.used[-1] if self.used else None

    def promoted(self, version: int) -> "Pointer":
        """Return the pointer after the promotion of a version.

        Examples
        --------
        >>> from hpcml.models.pointer import Pointer
        >>> two = Pointer().promoted(1).promoted(2)
        >>> two.version, two.rolled_back().version, [one.kind for one in two.rolled_back().changes]
        (2, 1, ['promote', 'promote', 'rollback'])
        """
        used = self.used if version == self.version else (*self.used, version)
        return self._changed(used, "promote")

    def rolled_back(self) -> "Pointer":
        """Return the pointer to the version that was in use before.

        Raises
        ------
        HpcmlError
            There is no version before.
        """
        if len(self.used) < 2:
            raise HpcmlError("no other version has been in use before: promote one by its number")
        return self._changed(self.used[:-1], "rollback")

    def _changed(self, used: tuple[int, ...], kind: str) -> "Pointer":
        change = Change(used[-1], kind, time.time(), _user(), socket.gethostname())
        return Pointer(used[-KEPT_CHANGES:], (*self.changes, change)[-KEPT_CHANGES:])


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for this user
        return str(os.getuid())


def read_pointer(directory: Path) -> Pointer:
    """Return the pointer of the model in `directory`; one without a version where none was promoted.

    Raises
    ------
    HpcmlError
        The file cannot be read, or is damaged.
    """
    path = directory / FILE
    try:
        facts = json.loads(path.read_bytes())
        return Pointer(tuple(facts["used"]), tuple(Change(**change) for change in facts["changes"]))
    except FileNotFoundError:
        return Pointer()
    except OSError as error:
        raise HpcmlError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise HpcmlError(f"{path} is damaged: {error}. Remove it, and promote a version") from error


def change_pointer(directory: Path, change: Callable[[Pointer], Pointer]) -> Pointer:
    """Replace the pointer by what `change` makes of it, and return that.

    A reader, and whoever comes after a crash, finds the pointer before or after the change. One process at a time
    changes it; on a file system without locks, the changes of two may become one.

    Raises
    ------
    HpcmlError
        The pointer is damaged, cannot be written, or is locked for long.
    """
    try:
        with _locked(directory / LOCK):
            new = change(read_pointer(directory))
            facts = {"used": new.used, "changes": [asdict(one) for one in new.changes]}
            content = json.dumps(facts, indent=1).encode() + b"\n"
            write_atomic(directory / FILE, content, mode=shared_mode(directory, 0o600))
            sync_directory(directory)
            return new
    except OSError as error:
        raise HpcmlError(f"{directory / FILE} cannot be written: {error.strerror}") from error


def shared_mode(directory: Path, mode: int) -> int:
    """Return a mode of the owner with the rights to read, and to enter, that others have in a directory."""
    others = directory.stat().st_mode & 0o055
    return mode | (others if mode & 0o100 else others & 0o044)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + LOCK_SECONDS
        while not try_lock(file):
            if time.monotonic() > end:
                raise HpcmlError(
                    f"another process has held {path} for {LOCK_SECONDS:g} s: `lsof {path}` names it. Try again"
                )
            time.sleep(PAUSE_SECONDS)
        yield
    finally:
        os.close(file)

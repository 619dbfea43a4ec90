"""Versions in a directory of checkpoints: a directory each, a manifest in each, and the pointer to the newest.

::

    checkpoints/
    ├── lock                   of the process that writes
    ├── latest                 the name of the newest version, replaced as the last act of a save
    └── 000007-step-420/       the seventh save, after step 420; never written again
        ├── manifest.json      SHA-256 and bytes of all files; a version without it was never complete
        ├── state.json, .npy   the state of all ranks
        ├── rank-0.json, .npy  the random generators of a rank, and its own state
        └── files/             what other libraries have written
"""

import errno
import hashlib
import json
import logging
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import sync_directory, write_atomic

__all__ = [
    "candidates",
    "check_directory",
    "is_version",
    "last_serial",
    "make_version",
    "point_to",
    "read_manifest",
    "retire_old",
    "versions_of",
    "write_manifest",
]

log = logging.getLogger("hpcml")

FORMAT = 1
_NAME = re.compile(r"(\d{6,})-step-(\d+)")
_MANIFEST = "manifest.json"
_POINTER = "latest"


def is_version(name: str) -> bool:
    """Return whether a name is that of a version.

    Examples
    --------
    >>> from hpcml.training.checkpoints.versions import is_version
    >>> is_version("000007-step-420"), is_version("latest")
    (True, False)
    """
    return _NAME.fullmatch(name) is not None


def _serial(name: str) -> int:
    return int(name.partition("-")[0])


def _names(directory: Path) -> list[str]:
    """Return the names of all versions, also incomplete ones, the newest first."""
    names = os.listdir(directory) if directory.is_dir() else []
    return sorted(filter(is_version, names), key=_serial, reverse=True)


def last_serial(directory: Path) -> int:
    """Return the number of the last version that was begun; 0 where none was."""
    return max(map(_serial, _names(directory)), default=0)


def check_directory(directory: Path) -> None:
    """Make a directory, mode 0700; raise HpcmlError unless versions can be written there, or are to be read."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = os.listdir(directory)
    except OSError as error:
        raise HpcmlError(
            f"there can be no checkpoints in {directory}: {error.strerror}. Give another directory"
        ) from error
    if not any(map(is_version, names)) and not os.access(directory, os.W_OK | os.X_OK):
        raise HpcmlError(
            f"there can be no checkpoints in {directory}: {os.strerror(errno.EACCES)}. Give another directory"
        )


def versions_of(directory: Path) -> list[Path]:
    """Return the versions that were completed, the newest first."""
    return [directory / name for name in _names(directory) if (directory / name / _MANIFEST).exists()]


def candidates(directory: Path) -> list[Path]:
    """Return the versions to load, the best first: that of the pointer, and the others from the newest on."""
    found = versions_of(directory)
    try:
        pointed = (directory / _POINTER).read_text(errors="replace").strip()
    except FileNotFoundError:
        return found
    if not is_version(pointed):
        log.warning("%s names no version: %.40r. The newest is taken", directory / _POINTER, pointed)
        return found
    return sorted({*found, directory / pointed}, key=lambda path: (path.name == pointed, _serial(path.name)))[::-1]


def make_version(directory: Path, step: int) -> Path:
    """Make the directory of the next version."""
    version = directory / f"{last_serial(directory) + 1:06d}-step-{step}"
    version.mkdir(mode=0o700)
    (version / "files").mkdir(mode=0o700)
    return version


def write_manifest(version: Path, manifest: dict[str, Any]) -> None:
    """Complete a version, whose other files are on the disk."""
    text = json.dumps({"format": FORMAT, **manifest}, indent=1)
    for path in (version, *sorted(path for path in version.rglob("*") if path.is_dir())):
        sync_directory(path)
    write_atomic(version / _MANIFEST, json.dumps([_digest(text), text]).encode())
    sync_directory(version)


def read_manifest(version: Path) -> tuple[dict[str, Any], str]:
    """Return the manifest of a version, and "" or a sentence about what is wrong with it."""
    try:
        digest, text = json.loads((version / _MANIFEST).read_bytes())
        if digest != _digest(text):
            return {}, "the manifest is damaged"
        manifest = json.loads(text)
    except OSError as error:
        return {}, f"{_MANIFEST}: {error.strerror}"
    except (ValueError, TypeError):
        return {}, "the manifest is damaged"
    if manifest["format"] != FORMAT:
        return {}, f"it has the format {manifest['format']}, of another version of hpcml, and not {FORMAT}"
    return manifest, ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def point_to(version: Path) -> None:
    """Make a complete version the one that is loaded."""
    sync_directory(version.parent)
    write_atomic(version.parent / _POINTER, f"{version.name}\n".encode())
    sync_directory(version.parent)


def retire_old(newest: Path, keep: int | None, damaged: Collection[Path]) -> list[Path]:
    """Make incomplete versions of those before `newest` that are to be removed, and return their directories.

    These are the incomplete ones, and all but the last `keep` that are not damaged.
    """
    before = [path for path in versions_of(newest.parent) if _serial(path.name) <= _serial(newest.name)]
    whole = [path for path in before if path not in damaged]
    kept = set(before if keep is None else whole[:keep])
    retired = []
    for name in _names(newest.parent):
        path = newest.parent / name
        is_damaged = path in damaged and (keep is None or _serial(name) > _serial(whole[:keep][-1].name))
        if _serial(name) < _serial(newest.name) and path not in kept and not is_damaged:
            (path / _MANIFEST).unlink(missing_ok=True)
            retired.append(path)
    for path in newest.parent.glob(f".{_POINTER}-*"):  # left by a process that was killed
        path.unlink(missing_ok=True)
    return retired

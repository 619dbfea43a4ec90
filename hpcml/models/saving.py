"""Writing of a version: under a hidden name, then renamed as a whole to the next number."""

import contextlib
import errno
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import sync_directory, temporary_path, write_new
from hpcml.models.formats import foreign_types, write_model
from hpcml.models.manifest import MANIFEST, ModelVersion, file_digest, pack_manifest, read_manifest
from hpcml.models.pointer import read_pointer, shared_mode

__all__ = ["make_directory", "remove_unfinished", "write_version"]

UNFINISHED = "new"  # part of the hidden names of versions that are being written
UNFINISHED_SECONDS = 3600.0  # a process of another container is not seen here, and may be at work


def make_directory(directory: Path) -> None:
    """Make the directory of a model, and the store; other users can read it where they can read the store."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make(directory, shared_mode(directory.parent, 0o700))


def _make(directory: Path, mode: int) -> None:
    """Make a directory with a mode, whatever the umask; leave one that exists."""
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        directory.chmod(mode)


def write_version(directory: Path, model: Any, file: str, facts: Mapping[str, Any]) -> ModelVersion:
    """Write a version under a hidden name, rename it to the next number, and return it.

    Raises
    ------
    HpcmlError
        The model cannot be saved in this format, or the file that it is cannot be loaded.
    OSError
        There is no room, or no right to write. Nothing is left.
    """
    hidden = temporary_path(directory / UNFINISHED)
    _make(hidden, shared_mode(directory, 0o700))
    mode = shared_mode(directory, 0o400)
    try:
        path = hidden / file
        write_model(model, path)
        with path.open("rb") as written:
            os.fsync(written.fileno())
        path.chmod(mode)
        files = {file: file_digest(path)}
        types = tuple(foreign_types(path))
        new = ModelVersion(name=directory.name, version=0, path=hidden, files=files, types=types, **facts)
        write_new(hidden / MANIFEST, pack_manifest(new))
        (hidden / MANIFEST).chmod(mode)
        sync_directory(hidden)
        return read_manifest(_rename_to_next_number(hidden, directory))
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise


def _rename_to_next_number(hidden: Path, directory: Path) -> Path:
    number = max([0, *_known_numbers(directory)]) + 1
    while True:
        try:
            os.rename(hidden, directory / str(number))
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            number += 1  # another process has just taken this one
        else:
            sync_directory(directory)
            return directory / str(number)


def _known_numbers(directory: Path) -> Iterator[int]:
    """Yield the numbers of versions that are there, or have been in use: results name these."""
    yield from (int(entry) for entry in os.listdir(directory) if entry.isdecimal())
    with contextlib.suppress(HpcmlError):
        pointer = read_pointer(directory)
        yield from pointer.used
        yield from (change.version for change in pointer.changes)


def remove_unfinished(directory: Path) -> None:
    """Remove the versions that killed processes of this computer have left half written."""
    pattern = re.compile(rf"\.{UNFINISHED}-{re.escape(socket.gethostname())}-(\d+)-[0-9a-f]+")
    for entry in os.listdir(directory):
        match = pattern.fullmatch(entry)
        if match and not Path("/proc", match[1]).exists() and _age(directory / entry) > UNFINISHED_SECONDS:
            shutil.rmtree(directory / entry, ignore_errors=True)


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0

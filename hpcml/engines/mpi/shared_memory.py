"""Files in /dev/shm that an MPI library maps: some libraries leave them there where a rank is killed."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

__all__ = ["SharedFile", "mapped_files", "remove_unused"]

DIRECTORY = "/dev/shm/"


class SharedFile(NamedTuple):
    """A file that a process maps, by its path and inode: another may get the same path later."""

    path: str
    inode: int


def mapped_files(process: int | str = "self") -> list[SharedFile]:
    """Return the files in /dev/shm that a process maps, but for those removed; see proc_pid_maps(5)."""
    found = set()
    with contextlib.suppress(OSError):  # of another user, or ended
        for line in Path(f"/proc/{process}/maps").read_text(errors="replace").splitlines():
            *_, inode, path = [*line.split(maxsplit=5), ""][4:6]
            if path.startswith(DIRECTORY) and not path.endswith(" (deleted)"):
                found.add(SharedFile(path, int(inode)))
    return sorted(found)


def remove_unused(files: Iterable[SharedFile]) -> None:
    """Remove those of `files` that are still there, are this user's, and that no living process maps."""
    left = {file for file in files if _is_own(file)}
    if left:
        for name in os.listdir("/proc"):
            left -= set(mapped_files(name)) if name.isdigit() else set()
    for file in left:
        with contextlib.suppress(OSError):
            os.unlink(file.path)


def _is_own(file: SharedFile) -> bool:
    with contextlib.suppress(OSError):
        found = os.lstat(file.path)
        return (found.st_ino, found.st_uid) == (file.inode, os.getuid())
    return False

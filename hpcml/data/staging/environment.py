"""Archive of a virtual environment, whose copy on a node starts workers without a shared file system.

::

    env/     the virtual environment; its pyvenv.cfg names the place of base/ on the node
    base/    the Python that it was made with, unless that is the node's own, in /usr

Programs, libraries and their data are copied. All else is a link to the original, so that all names are there:
tests of the standard library, headers, or the user's project where that holds the environment. Directories that
the environment only names, as those of projects in development, stay where they are.
"""

import fnmatch
import io
import os
import stat
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from hpcml.data.digests import digest

__all__ = ["Entry", "Python", "entries", "fingerprint", "this_python", "write_archive"]

ENVIRONMENT = "env"
BASE = "base"
PLACE = "@HPCML_PLACE@"  # in pyvenv.cfg, for the directory on the node
NODES_OWN = "/usr"  # each node has a copy of what is in it

_STANDARD_LIBRARY = "python3.[0-9]*"
_COPIED = ("bin", "etc", "lib", "lib64", "libexec", "pyvenv.cfg", "share")
_LEFT = (f"lib*/{_STANDARD_LIBRARY}/test", f"lib*/{_STANDARD_LIBRARY}/config-*")
_BASE_COPIED = ("bin/python*", "lib*/libpython*", f"lib*/{_STANDARD_LIBRARY}/*")
_BASE_LEFT = (*_LEFT, f"lib*/{_STANDARD_LIBRARY}/site-packages")
_FORMAT = 1  # of archives in the cache; a change of this module may need another


class Python(NamedTuple):
    """An interpreter with its environment.

    Parameters
    ----------
    executable
        Its path, below `prefix`.
    prefix, base_prefix
        Directories of the virtual environment and of the Python that it was made with; equal outside of one.
    """

    executable: str
    prefix: str
    base_prefix: str

    @property
    def in_archive(self) -> str:
        """Path of the interpreter in the archive."""
        return os.path.join(ENVIRONMENT, os.path.relpath(self.executable, self.prefix))


@dataclass(frozen=True)
class Entry:
    """A directory, file or link of the archive.

    Parameters
    ----------
    name
        Its path in the archive.
    source
        Its path here.
    link
        What it links to; "" for a directory or file.
    """

    name: str
    source: str
    link: str = ""


def this_python() -> Python | None:
    """Return the interpreter of this process; None where it has no environment that could be sent.

    The system's own Python, in ``/usr``, is on each node.
    """
    python = Python(os.path.abspath(sys.executable), os.path.abspath(sys.prefix), os.path.abspath(sys.base_prefix))
    is_inside = python.executable.startswith(python.prefix + os.sep)
    return python if is_inside and python.prefix != NODES_OWN else None


def entries(python: Python) -> Iterator[Entry]:
    """Yield the content of the archive of an environment, directories before what is in them, in a fixed order."""
    trees = {python.prefix: ENVIRONMENT}
    if python.base_prefix not in (python.prefix, NODES_OWN):
        trees[python.base_prefix] = BASE
    for prefix, name in trees.items():
        copied = _BASE_COPIED if name == BASE else _COPIED
        left = _BASE_LEFT if name == BASE else _LEFT
        yield from _tree(prefix, name, copied, left, trees)


def _tree(
    prefix: str, name: str, copied: Sequence[str], left: Sequence[str], trees: dict[str, str]
) -> Iterator[Entry]:
    waiting = [""]
    while waiting:
        inside = waiting.pop()
        yield Entry(os.path.normpath(os.path.join(name, inside)), os.path.normpath(os.path.join(prefix, inside)))
        below = []
        for item in sorted(os.scandir(os.path.join(prefix, inside)), key=lambda item: item.name):
            path = os.path.join(inside, item.name)
            is_directory = item.is_dir(follow_symlinks=False)
            is_readable = item.is_symlink() or os.access(item.path, os.R_OK)
            is_copied = _matches(path, copied) and not _matches(path, left) and is_readable
            if is_directory and (is_copied or _leads_to(path, copied)):
                below.append(path)
            elif not is_copied or item.is_symlink():
                there = os.path.join(name, path)
                link = _moved_link(item.path, there, trees) if is_copied else item.path
                yield Entry(there, item.path, link)
            elif item.is_file(follow_symlinks=False):
                yield Entry(os.path.join(name, path), item.path)
        waiting += reversed(below)


def _matches(path: str, patterns: Sequence[str]) -> bool:
    """Return whether `path` is that of a pattern, or below it."""
    return any(_fits(path.split("/"), pattern.split("/")) for pattern in patterns)


def _leads_to(path: str, patterns: Sequence[str]) -> bool:
    """Return whether a pattern is below `path`."""
    names = path.split("/")
    wanted = [pattern.split("/") for pattern in patterns]
    return any(len(parts) > len(names) and _fits(names, parts[: len(names)]) for parts in wanted)


def _fits(names: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(names) >= len(wanted) and all(map(fnmatch.fnmatchcase, names, wanted))


def _moved_link(path: str, there: str, trees: dict[str, str]) -> str:
    """Return what a link has to name in the archive: there what is there too, else the original."""
    target = os.readlink(path)
    full = os.path.normpath(os.path.join(os.path.dirname(path), target))
    for prefix in sorted(trees, key=len, reverse=True):
        if full == prefix or full.startswith(prefix + os.sep):
            moved = os.path.join(trees[prefix], os.path.relpath(full, prefix))
            return os.path.relpath(moved, os.path.dirname(there))
    return full


def fingerprint(found: Sequence[Entry]) -> str:
    """Return the digest of names, links, lengths and times of all files.

    Bytecode beside sources is left out: a process that imports a module for the first time adds some.
    """
    lines = [f"{_FORMAT}"]
    for entry in found:
        about = os.lstat(entry.source)
        seen: tuple[int, ...] = ()
        if stat.S_ISREG(about.st_mode) and not entry.link:
            seen = (about.st_mode, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        if "__pycache__" not in entry.name.split("/"):
            lines.append(f"{entry.name!r} {entry.link!r} {seen}")
    return digest("\n".join(lines).encode())


def write_archive(file: BinaryIO, found: Sequence[Entry], python: Python) -> None:
    """Write the archive of an environment.

    Raises
    ------
    OSError
        A file has changed meanwhile, or there is no room.
    """
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry in found:
            about = archive.gettarinfo(entry.source, entry.name)
            about.uname = about.gname = ""
            if entry.link:
                about.type, about.linkname, about.size = tarfile.SYMTYPE, entry.link, 0
            if not about.isreg():
                archive.addfile(about)
            elif entry.name == os.path.join(ENVIRONMENT, "pyvenv.cfg"):
                content = _settings(Path(entry.source), python)
                about.size = len(content)
                archive.addfile(about, io.BytesIO(content))
            else:
                with open(entry.source, "rb") as opened:
                    archive.addfile(about, opened)


def _settings(file: Path, python: Python) -> bytes:
    """Return the content of pyvenv.cfg with the home of the interpreter in the archive, if that holds one."""
    lines = file.read_text().splitlines()
    if python.base_prefix != NODES_OWN:
        home = f"{PLACE}/{BASE}/bin"
        lines = [f"home = {home}" if line.partition("=")[0].strip() == "home" else line for line in lines]
    return "".join(f"{line}\n" for line in lines).encode()

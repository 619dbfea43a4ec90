"""User's modules that a worker has imported; their files are compared when a recorded result is to be used.

The modules that were imported count, not the imports in the source: a task may import a module by a computed name.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from hpcml.data.code_versions import source_of
from hpcml.data.digests import digest
from hpcml.data.libraries import is_users

__all__ = ["are_current", "imported_modules"]

_last: tuple[int, str] = (0, "")
_packed = b""
_known: dict[str, tuple[object, tuple[str, str] | None]] = {}


def imported_modules(since: float) -> bytes:
    """Return the user's modules that this process has imported, as JSON: ``{name: [path, digest]}``.

    The digest is that of the file when the module was first seen here. It is "" for a file that has changed after
    `since`: such a file may be newer than the imported code. Without such modules, the result is empty.

    Parameters
    ----------
    since
        Seconds since the epoch: start of the work that has imported the modules.
    """
    global _last, _packed  # noqa: PLW0603  there is one sys.modules in a process
    now = (len(sys.modules), next(reversed(sys.modules), ""))
    if now == _last:
        return _packed
    _last = now
    found = {}
    for name, module in list(sys.modules.items()):
        loaded = getattr(module, "__spec__", None) or module
        seen = _known.get(name)
        if seen is None or seen[0] is not loaded:
            seen = _known[name] = (loaded, _read_version(name, module, since))
        if seen[1] is not None:
            found[name] = seen[1]
    _packed = json.dumps(found, sort_keys=True).encode() if found else b""
    return _packed


def _read_version(name: str, module: object, since: float) -> tuple[str, str] | None:
    """Return the path and the digest of a user's module, None for other modules."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str) or name in ("__main__", "__mp_main__") or name.partition(".")[0] == "hpcml":
        return None
    if not os.path.isabs(file) or not is_users(file):  # torch.classes has "_classes.py", which does not exist
        return None
    path = os.path.abspath(file)
    with contextlib.suppress(OSError):
        content = Path(path).read_bytes()
        about = os.stat(path)
        if max(about.st_mtime, about.st_ctime) < since:
            return path, digest(content)
    return path, ""


class _Checked:
    """Result of comparing the modules of a record, valid for a second."""

    def __init__(self) -> None:
        self.until = 0.0
        self.current = False


_checked: dict[str, _Checked] = {}


def are_current(about: str, modules: Mapping[str, tuple[str, str]]) -> bool:
    """Return whether modules, as `imported_modules` returned them, are the same in this process, or would be.

    Parameters
    ----------
    about
        Digest of the modules; the answer for this digest is cached for a second.
    """
    known = _checked.setdefault(about, _Checked())
    if time.monotonic() > known.until:
        known.current = all(_is_current(name, *seen) for name, seen in modules.items())
        known.until = time.monotonic() + 1
    return known.current


def _is_current(name: str, path: str, seen: str) -> bool:
    source = source_of(name)
    if source is not None:
        return bool(seen) and source.digest == seen
    with contextlib.suppress(OSError):  # found by the sys.path of the worker alone
        return bool(seen) and digest(Path(path).read_bytes()) == seen
    return False

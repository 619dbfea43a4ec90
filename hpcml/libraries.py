"""Which modules are the user's own, and the versions of all others."""

import contextlib
import functools
import json
import os
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

__all__ = ["is_users", "local_packages", "version"]

_PLACES = tuple(
    os.path.join(os.path.realpath(sysconfig.get_path(name)), "")
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_INSTALLED = ("site-packages", "dist-packages")


@functools.lru_cache(maxsize=10_000)
def is_users(file: str) -> bool:
    """Tell whether a module's file is the user's own: not of an installed library, but for one made here."""
    full = os.path.realpath(file)
    for place in _INSTALLED:
        _, found, within = full.rpartition(f"{os.sep}{place}{os.sep}")
        if found:
            top = within.split(os.sep)[0].partition(".")[0]
            return top in local_packages(full[: len(full) - len(within)])
    return not full.startswith(_PLACES)


@functools.cache
def local_packages(place: str) -> frozenset[str]:
    """Return the packages in `place` that were installed from a directory, as ``pip install .`` does.

    Their version may be the same when their code is not (PEP 610, direct_url.json).
    """
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for note in Path(place).glob("*.dist-info/direct_url.json"):
            with contextlib.suppress(OSError, ValueError):
                about = json.loads(note.read_text())
                if str(about.get("url", "")).startswith("file:"):
                    found.update(_tops(note.parent))
    return frozenset(found - {"hpcml"})


def _tops(about: Path) -> set[str]:
    """Return the names at the top of what was installed."""
    lines = (about / "RECORD").read_text().splitlines()
    first = {line.split(",")[0].split("/")[0] for line in lines}
    return {name.partition(".")[0] for name in first if not name.endswith((".dist-info", ".pth")) and name != ".."}


@functools.cache
def version(library: str) -> str:
    """Return the version of a library, "" where it has none, as the standard library's modules."""
    if library in sys.stdlib_module_names:
        return ""
    found = vars(sys.modules[library]).get("__version__") if library in sys.modules else None
    if not isinstance(found, str):
        with contextlib.suppress(Exception):
            found = metadata.version(library)
    return str.__str__(found) if isinstance(found, str) else ""  # torch's is of a class of its own

"""Modules of the user, apart from libraries, and the versions of libraries."""

import contextlib
import functools
import json
import os
import sys
import sysconfig
from pathlib import Path

__all__ = ["is_users", "version"]

_PLACES = tuple(
    os.path.join(os.path.realpath(sysconfig.get_path(name)), "")
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)
_INSTALLED = ("site-packages", "dist-packages")
_INSTALLED_ENDS = tuple(f"{os.sep}{name}{os.sep}" for name in _INSTALLED)


@functools.lru_cache(maxsize=10_000)
def is_users(file: str) -> bool:
    """Return whether a module's file is the user's own: of no library, or of one installed from a directory."""
    full = os.path.realpath(file)
    place, top = _place(full)
    if any(f"{os.sep}{name}{os.sep}" in full for name in _INSTALLED):
        return top in _packages(place)[True]
    return not full.startswith(_PLACES) and top not in _packages(place)[False]


def _place(full: str) -> tuple[str, str]:
    """Return the directory in which python finds a file's package, and the package's name."""
    for name in _INSTALLED:
        before, found, within = full.rpartition(f"{os.sep}{name}{os.sep}")
        if found:
            return before + found, within.split(os.sep)[0].partition(".")[0]
    place, name = os.path.split(full)
    while os.path.exists(os.path.join(place, "__init__.py")) and os.path.dirname(place) != place:
        place, name = os.path.split(place)
    return place, name.partition(".")[0]


@functools.cache
def _packages(place: str) -> dict[bool, frozenset[str]]:
    """Return the packages that were installed in a directory, by whether it was from a directory.

    That is what ``pip install .`` does: the version may be the same when the code is not (PEP 610).
    """
    found: dict[bool, set[str]] = {True: set(), False: set()}
    with contextlib.suppress(OSError):
        for about in Path(place).glob("*.dist-info"):
            with contextlib.suppress(OSError, ValueError):
                note = about / "direct_url.json"
                local = note.exists() and "dir_info" in json.loads(note.read_text())
                if local or not place.endswith(_INSTALLED_ENDS):  # else all that is not local is a library
                    found[local].update(_tops(about))
    return {True: frozenset(found[True] - {"hpcml"}), False: frozenset(found[False] - found[True])}


def _tops(about: Path) -> set[str]:
    """Return the top-level names that a distribution has installed."""
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
        from importlib import metadata  # takes as long to load as a tenth of hpcml

        with contextlib.suppress(Exception):
            found = metadata.version(library)
    return str.__str__(found) if isinstance(found, str) else ""  # torch's is of a class of its own

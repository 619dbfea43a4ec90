"""Versions of the code that a function depends on: digests of the user's modules, versions of libraries."""

import ast
import contextlib
import dis
import functools
import sys
import time
import types
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

from hpcml.data.digests import digest
from hpcml.data.libraries import is_users, version

__all__ = ["Source", "code_globals", "code_modules", "module_digest", "source_of"]

# The file of a module that is not imported is read again after this time,
# that of an imported module when the module is loaded again.
REREAD_SECONDS = 0.5


class Source(NamedTuple):
    """The file of a user's module: its path, the digest of its content, and the modules that it imports."""

    path: str
    digest: str
    imports: tuple[str, ...]


def _parents(name: str) -> Iterator[str]:
    """Yield the packages that contain a module, and the module: an import runs them all."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _find_file(name: str) -> str | None:
    """Return the file of a module, imported or not; nothing is imported to find it."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec: ModuleSpec | None = None
    path: Sequence[str] | None = None
    for part in _parents(name):
        spec = _spec(part, path)
        if spec is None or (part == name.partition(".")[0] and spec.origin and not is_users(spec.origin)):
            return None
        path = spec.submodule_search_locations
    return spec.origin if spec is not None and spec.has_location else None


def _spec(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """Return the spec of a module from Python's finders: a package in editable mode has a finder of its own."""
    for finder in list(sys.meta_path):
        find = getattr(finder, "find_spec", None)
        with contextlib.suppress(Exception):
            spec: ModuleSpec | None = None if find is None else find(name, path)
            if spec is not None:
                return spec
    return None


_sources: dict[str, tuple[object, float, Source | None]] = {}
_digests: dict[str, tuple[object, float, str]] = {}


def source_of(name: str) -> Source | None:
    """Return the file of a user's module, as first read since it was loaded; None for other modules.

    The file of a module that is not imported is read again after half a second.
    """
    loaded = _loaded(name)
    known = _sources.get(name)
    if known is None or known[0] is not loaded or (loaded is None and time.monotonic() > known[1]):
        known = _sources[name] = (loaded, time.monotonic() + REREAD_SECONDS, _read(name))
    return known[2]


def _loaded(name: str) -> object:
    """Return an object that is new each time the module is loaded; None for a module that is not imported."""
    module = sys.modules.get(name)
    return getattr(module, "__spec__", None) or module


def _read(name: str) -> Source | None:
    file = None if name == "__main__" or name.partition(".")[0] == "hpcml" else _find_file(name)
    if not file or not is_users(file):
        return None
    try:
        content = Path(file).read_bytes()
    except OSError:  # the file was removed, or is in an archive
        return Source(file, "", ())
    package = name if Path(file).stem == "__init__" else name.rpartition(".")[0]
    used: set[str] = set()
    with contextlib.suppress(SyntaxError, ValueError, ImportError):  # compiled, or with imports that fail
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Import):
                used.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                used.update(_imported(node.module or "", node.level, package, [a.name for a in node.names]))
    return Source(file, digest(content), tuple(sorted({parent for module in used for parent in _parents(module)})))


def _imported(module: str, level: int, package: str, names: Iterable[str] | None) -> list[str]:
    """Return the modules that ``from module import names`` may import."""
    source = resolve_name("." * level + module, package) if level else module
    return [source, *(f"{source}.{name}" for name in names or ())]


def module_digest(name: str) -> str:
    """Return the digest of a module's file, of the user's modules that it imports, and of its libraries' versions.

    For a module that is not the user's, return the version of its library.
    """
    loaded = _loaded(name)
    known = _digests.get(name)
    if known is None or known[0] is not loaded or time.monotonic() > known[1]:
        known = _digests[name] = (loaded, time.monotonic() + REREAD_SECONDS, _digest(name))
    return known[2]


def _digest(name: str) -> str:
    if source_of(name) is None:
        return version(name.partition(".")[0])
    seen: dict[str, str] = {}
    waiting = [name]
    while waiting:
        used = waiting.pop()
        if used in seen:
            continue
        source = source_of(used)
        if source is not None:
            seen[used] = source.digest
            waiting.extend(source.imports)
        elif "." not in used and (found := version(used)):
            seen[used] = found
    return digest(repr(sorted(seen.items())).encode())


@functools.lru_cache(maxsize=1000)
def code_globals(code: types.CodeType) -> tuple[str, ...]:
    """Return the sorted names of the globals that a function and its inner functions look up."""
    names = {
        str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(code_globals(constant))
    return tuple(sorted(names))


@functools.lru_cache(maxsize=1000)
def _all_names(code: types.CodeType) -> frozenset[str]:
    within = [_all_names(constant) for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return frozenset(code.co_names).union(*within)


@functools.lru_cache(maxsize=1000)
def _named_modules(code: types.CodeType, modules: tuple[str, ...], package: str) -> frozenset[str]:
    """Return the names of modules that a function imports, or may reach through `modules`."""
    steps = list(dis.get_instructions(code))
    roots = list(modules)
    for number, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level = steps[number - 2].argval
            names = steps[number - 1].argval
            with contextlib.suppress(ImportError, ValueError):
                roots += _imported(str(step.argval), level if isinstance(level, int) else 0, package, names)
    found = {*roots, *(f"{root}.{name}" for root in roots for name in code.co_names)}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found.update(_named_modules(constant, modules, package))
    return frozenset(found)


def code_modules(code: types.CodeType, modules: tuple[str, ...], package: str) -> list[tuple[str, str]]:
    """Return the modules that a function imports, or reaches through `modules`, each with its digest.

    Parameters
    ----------
    package
        Package of the function's module, for its relative imports.
    """
    names = set(_named_modules(code, modules, package))
    for root in modules:  # import a.b.c; a.b.c.f()
        used = _all_names(code)
        names.update(
            name
            for name in list(sys.modules)
            if name.startswith(f"{root}.") and used.issuperset(name[len(root) + 1 :].split("."))
        )
    users = [(name, module_digest(name)) for name in sorted(names) if source_of(name) is not None]
    return [*users, *((name, version(name)) for name in sorted(names) if "." not in name and version(name))]

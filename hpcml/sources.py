"""What a function depends on beyond its arguments: the files of the user's modules, and versions of libraries."""

import ast
import contextlib
import dis
import functools
import os
import sys
import sysconfig
import types
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from importlib.util import resolve_name
from pathlib import Path

from hpcml.datafiles import digest

__all__ = ["code_globals", "code_modules", "module_digest"]

_LIBRARIES = tuple(
    os.path.join(os.path.realpath(sysconfig.get_path(name)), "")
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def _parents(name: str) -> Iterator[str]:
    """Yield the packages that a module is in, and the module: importing it runs them all."""
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _found(name: str) -> str | None:
    """Return the file of a module that need not be imported yet; none is imported for that."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__file__", None)
    spec, path = None, None
    for part in _parents(name):
        spec = PathFinder.find_spec(part, path)
        if spec is None or (part == name.partition(".")[0] and spec.origin and not _is_users(spec.origin)):
            return None
        path = spec.submodule_search_locations
    return spec.origin if spec is not None and spec.has_location else None


def _is_users(file: str) -> bool:
    full = os.path.realpath(file)
    return not full.startswith(_LIBRARIES) and "site-packages" not in full and "dist-packages" not in full


@functools.cache
def _users(name: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the digest of a module's file and what it imports; None where it is not the user's."""
    file = None if name == "__main__" or name.partition(".")[0] == "hpcml" else _found(name)
    if not file or not _is_users(file):
        return None
    content = Path(file).read_bytes()
    package = name if Path(file).stem == "__init__" else name.rpartition(".")[0]
    used: set[str] = set()
    with contextlib.suppress(SyntaxError, ValueError, ImportError):  # it is compiled, or imports what is not there
        for node in ast.walk(ast.parse(content)):
            if isinstance(node, ast.Import):
                used.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                source = resolve_name("." * node.level + (node.module or ""), package)
                used.update((source, *(f"{source}.{alias.name}" for alias in node.names)))
    return digest(content), tuple(sorted({parent for module in used for parent in _parents(module)}))


@functools.cache
def module_digest(name: str) -> str:
    """Return the digest of a module's file and of the user's modules that it imports, as first seen.

    Of a module that is not the user's, it is the version of its library.
    """
    seen: dict[str, str] = {}
    waiting = [name]
    while waiting:
        used = waiting.pop()
        if used not in seen and (found := _users(used)) is not None:
            seen[used] = found[0]
            waiting.extend(found[1])
    return digest(repr(sorted(seen.items())).encode()) if seen else _version(name.partition(".")[0])


@functools.cache
def _version(library: str) -> str:
    version = vars(sys.modules[library]).get("__version__") if library in sys.modules else None
    if not isinstance(version, str) and library not in sys.stdlib_module_names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            version = metadata.version(library)
    return version if isinstance(version, str) else ""


@functools.lru_cache(maxsize=1000)
def code_globals(code: types.CodeType) -> tuple[str, ...]:
    """Return the names that a function looks up among its globals, those within it included, sorted."""
    names = {
        str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")
    }
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names.update(code_globals(constant))
    return tuple(sorted(names))


@functools.lru_cache(maxsize=1000)
def code_modules(code: types.CodeType, modules: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the user's modules that a function imports, or reaches through `modules`, each with its digest."""
    steps = list(dis.get_instructions(code))
    roots = [*modules, *(str(step.argval) for step in steps if step.opname == "IMPORT_NAME")]
    names = {*roots, *(f"{root}.{name}" for root in roots for name in code.co_names)}
    for root in modules:  # import a.b; a.b.f()
        names.update(
            name
            for name in list(sys.modules)
            if name.startswith(f"{root}.") and set(name[len(root) + 1 :].split(".")) <= set(code.co_names)
        )
    found = {(name, module_digest(name)) for name in names if _users(name) is not None}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found.update(code_modules(constant, modules))
    return tuple(sorted(found))

"""What makes two calls the same: a digest of function, arguments and data, equal in every process.

A call is pickled for its digest alone: without the memo, so that it does not matter which of its objects are one
and the same; sets in order; and in place of

- a function or class of an installed library: its name (what version the libraries have is noted elsewhere);
- one of a module of the user's: its name, and the digest of the module's file and of those that it uses;
- one of the script, of a notebook, or without a name: its code, defaults, captured variables and globals.
"""

import dis
import functools
import io
import sys
import sysconfig
import types
import weakref
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import cloudpickle

from hpcml.arrays import Array, reduce_array
from hpcml.datafiles import digest

__all__ = ["Keys", "code_globals", "is_named", "module_digest"]

IGNORED: dict[tuple[str, str], tuple[str, ...] | None] = {
    ("sklearn.utils.parallel", "_FuncWrapper"): ("warning_filters",),
    ("sklearn.callback._callback_context", "CallbackContext"): None,
}
"""Attributes (None: all) that say nothing of a result and differ between two lives of a script: the warning
filters depend on what has been imported, the context of callbacks holds the time and a random number."""

LARGE = 1 << 16  # bytes; a smaller array is looked at anew each time

_INSTALLED = tuple({str(Path(path).resolve()) for path in sysconfig.get_paths().values()})


@functools.cache
def _is_users(name: str) -> bool:
    """Tell whether a module is a file of the user's, not of an installed library."""
    path = getattr(sys.modules.get(name), "__file__", None)
    if not path or name.partition(".")[0] == "hpcml":
        return False
    full = str(Path(path).resolve())
    return not full.startswith(_INSTALLED) and "site-packages" not in full and "dist-packages" not in full


@functools.cache
def module_digest(name: str) -> str:
    """Return the digest of a module's file and of the user's other modules that it uses, as first seen."""
    seen: dict[str, str] = {}
    waiting = [name]
    while waiting:
        module = sys.modules.get(waiting.pop())
        if module is None or module.__name__ in seen or not _is_users(module.__name__):
            continue
        seen[module.__name__] = digest(Path(str(module.__file__)).read_bytes())
        for value in list(vars(module).values()):
            used = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", None)
            if isinstance(used, str):
                waiting.append(used)
    return digest(repr(sorted(seen.items())).encode())


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


def is_named(thing: Any) -> bool:
    """Tell whether a function or class can be found under its name in a module, so that it travels by name."""
    found: Any = sys.modules.get(getattr(thing, "__module__", None) or "")
    if found is None or found.__name__ == "__main__" or not hasattr(thing, "__qualname__"):
        return False
    for part in thing.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is thing


def _nothing(*_: Any) -> None:
    """Stand at the head of what is digested, and never called."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Writes what a call is made of; nobody ever reads it."""

    def __init__(self, stream: Any, keys: "Keys") -> None:
        super().__init__(stream, 5)
        self._keys = keys
        self._within: set[int] = set()  # functions and classes on the way: they may refer to each other

    def persistent_id(self, thing: Any) -> Any:
        """Return what stands for a set, which has no order of its own; see `pickle.Pickler.persistent_id`."""
        if type(thing) in (set, frozenset):
            return type(thing).__name__, sorted(self._keys.digest(part) for part in thing)
        return None

    def reducer_override(self, thing: Any) -> Any:
        """Return what stands for `thing`; see `pickle.Pickler.reducer_override`."""
        if isinstance(thing, Array):
            reduced = reduce_array(thing, self._keys.lend)
            return NotImplemented if reduced is None else reduced
        if isinstance(thing, type | types.FunctionType):
            return self._definition(thing)
        if isinstance(thing, types.CodeType):
            return _nothing, _code(thing)
        name = (type(thing).__module__, type(thing).__qualname__)
        if name in IGNORED:
            ignored = IGNORED[name]
            state = (
                {} if ignored is None else {name: vars(thing)[name] for name in vars(thing) if name not in ignored}
            )
            return _nothing, (name, state)
        return super().reducer_override(thing)

    def _definition(self, thing: Any) -> Any:
        if thing is _nothing or thing.__module__ == "builtins":
            return NotImplemented
        name = f"{thing.__module__}.{thing.__qualname__}"
        if id(thing) in self._within:
            return _nothing, (name,)
        if is_named(thing):
            users = _is_users(thing.__module__)
            return _nothing, (name, module_digest(thing.__module__) if users else "")
        self._within.add(id(thing))
        return _nothing, (name, *(_function(thing) if isinstance(thing, types.FunctionType) else _class(thing)))


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Return what a code object does, without where it stands in its file."""
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    return code.co_code, code.co_consts, code.co_names, code.co_varnames, code.co_freevars, shape


def _function(function: types.FunctionType) -> tuple[Any, ...]:
    names = code_globals(function.__code__)
    known = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    captured = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
    return function.__code__, function.__defaults__, function.__kwdefaults__, captured, known, vars(function)


_NOT_OF_A_CLASS = {
    *("__dict__", "__weakref__", "__doc__", "__annotations__", "__firstlineno__", "__static_attributes__"),
    *("__dataclass_fields__", "__dataclass_params__", "__annotate_func__", "_abc_impl"),
}


def _class(kind: type) -> tuple[Any, ...]:
    own = [
        (name, value)
        for name, value in sorted(vars(kind).items())
        if name not in _NOT_OF_A_CLASS
        and not isinstance(value, types.MemberDescriptorType | types.GetSetDescriptorType)
    ]
    return kind.__bases__, own


_PLAIN = (int, float, str, bool, type(None))


class Keys:
    """Digests of calls, for the length of one call of ``map`` or Parallel, in which large arrays stay as they are.

    Examples
    --------
    >>> from hpcml.keys import Keys
    >>> Keys().digest(({"b", "a"}, lambda x: x + 1)) == Keys().digest(({"a", "b"}, lambda x: x + 1))
    True
    >>> Keys().digest(lambda x: x + 1) == Keys().digest(lambda x: x + 2)
    False
    """

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Any, str]] = {}

    def digest(self, thing: Any) -> str:
        """Return the digest of any object that can be pickled."""
        if type(thing) is tuple and all(type(part) in _PLAIN for part in thing):
            return digest(repr(thing).encode("utf-8", "surrogatepass"))
        try:
            return self._digest(thing, fast=True)
        except (ValueError, RecursionError):  # it contains itself: then the memo is needed
            return self._digest(thing, fast=False)

    def _digest(self, thing: Any, fast: bool) -> str:
        stream = io.BytesIO()
        pickler = _Pickler(stream, self)
        pickler.fast = fast
        pickler.dump(thing)
        return digest(stream.getbuffer())

    def lend(self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> str:
        """Return the digest of an array's content; see `hpcml.arrays.Lend`."""
        if nbytes < LARGE:
            return digest(produce())
        key = (nbytes, key)
        living, known = self._known.get(key, (lambda: None, ""))
        if living() is None:
            known = digest(produce())
            self._known[key] = (weakref.ref(owner), known)
        return known

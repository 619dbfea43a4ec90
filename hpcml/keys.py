"""What makes two calls the same: a digest of function, arguments and data, equal in every process.

A call is pickled for its digest alone: without the memo, so that it does not matter which of its objects are one
and the same; sets in order; and in place of

- a function or class of an installed library: its name and the library's version;
- one of a module of the user's: its name, and the digest of the module's file and of those that it imports;
- one of the script, of a notebook, or without a name: its code, defaults, captured variables and globals.
"""

import functools
import io
import pickle
import sys
import types
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import cloudpickle

from hpcml.arrays import Array, reduce_array
from hpcml.broadcast import Broadcast
from hpcml.datafiles import digest
from hpcml.filemaps import refuse_map
from hpcml.generators import reduce_generator
from hpcml.individuals import reduce_individual
from hpcml.sources import code_globals, code_modules, module_digest
from hpcml.store import Loan

__all__ = ["IGNORED_ARGUMENTS", "Keys", "is_named"]

IGNORED: dict[tuple[str, str], tuple[str, ...] | None] = {
    ("hpcml.scoop_programs.carried", "Carried"): ("slots",),
    ("sklearn.utils.parallel", "_FuncWrapper"): ("warning_filters",),
    ("sklearn.callback._callback_context", "CallbackContext"): None,
}
"""Attributes (None: all) that say nothing of a result and differ between two lives of a script: the warning
filters depend on what has been imported, the context of callbacks holds the time and a random number."""

IGNORED_ARGUMENTS = {
    "sklearn.model_selection._validation._fit_and_score": {
        "callback_ctx",
        "caller",
        "candidate_progress",
        "split_progress",
        "verbose",
    }
}
"""Keyword arguments that say nothing of a result. With them, a fit would be another one in a larger grid, or for
other n_jobs: the caller is the search, which is there for its callbacks; the rest is for what is printed."""

FILLED_AT_RUN_TIME = {"deap.creator"}  # the classes in these modules are the script's
MOST = 1 << 24  # bytes; what is longer without the memo may be a few objects that share each other


def is_named(thing: Any) -> bool:
    """Tell whether a thing is found under its name in a module, so that it travels by name."""
    name, module = getattr(thing, "__qualname__", None), getattr(thing, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        return False
    found: Any = sys.modules.get(module)
    if found is None or found.__name__ == "__main__":
        return False
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is thing


def _nothing(*_: Any) -> None:
    """Stand at the head of what is digested, and never called."""


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """Writes what a call is made of; nobody ever reads it."""

    def __init__(self, stream: Any, keys: "Keys") -> None:
        super().__init__(stream, 5)
        self._keys, self._named = keys, keys.named
        self.dispatch_table = keys.table
        # Functions and classes that were met, by their id, with their number: they may refer to each other.
        self._met: dict[int, tuple[int, Any]] = {}

    def reducer_override(self, thing: Any) -> Any:
        """Return what stands for `thing`; see `pickle.Pickler.reducer_override`."""
        if id(thing) in self._named:
            return self._named[id(thing)][1]
        if isinstance(thing, Array):
            return reduce_array(refuse_map(thing), self._keys.lend) or NotImplemented
        individual = reduce_individual(thing)
        if individual is None and (
            isinstance(thing, type | types.FunctionType) or is_named(thing)
        ):  # functools.lru_cache, Cython, C
            return self._definition(thing)
        if individual is not None:
            return self._individual(thing, individual[1])
        parts = _parts(thing)
        return super().reducer_override(thing) if parts is None else (_nothing, parts)

    def _individual(self, thing: Any, parts: tuple[Any, ...]) -> Any:
        """Return what stands for an individual of DEAP's, or for its class: that is looked at once."""
        if not isinstance(thing, type):
            return _nothing, parts
        self._named[id(thing)] = thing, (_nothing, (thing.__name__, self._keys.digest(parts)))
        return self._named[id(thing)][1]

    def _definition(self, thing: Any) -> Any:
        if isinstance(thing, type) and thing.__module__ == "builtins":  # some of these have no name there
            return super().reducer_override(thing)
        name = f"{thing.__module__}.{thing.__qualname__}"
        if id(thing) in self._met:
            return _nothing, (name, self._met[id(thing)][0])
        if is_named(thing) and thing.__module__ not in FILLED_AT_RUN_TIME:
            self._named[id(thing)] = thing, (_nothing, (name, module_digest(thing.__module__)))
            return self._named[id(thing)][1]
        self._met[id(thing)] = len(self._met), thing
        return _nothing, (name, *(_function(thing) if isinstance(thing, types.FunctionType) else _class(thing)))


class _SetPickler(_Pickler):
    """One that puts sets in order: it asks about each object, which takes as long again."""

    def persistent_id(self, thing: Any) -> Any:
        """Return what stands for a set, which has no order of its own; see `pickle.Pickler.persistent_id`."""
        if type(thing) in (set, frozenset):
            return type(thing).__name__, sorted(self._keys.digest(part) for part in thing)
        return None


def _parts(thing: Any) -> tuple[Any, ...] | None:
    """Return what says which object of some special types this is; None for all others."""
    name = (type(thing).__module__, type(thing).__qualname__)
    if name in IGNORED:
        ignored = IGNORED[name]
        return name, {} if ignored is None else {
            key: vars(thing)[key] for key in vars(thing) if key not in ignored
        }
    if isinstance(thing, functools._lru_cache_wrapper):
        return "lru_cache", thing.__wrapped__
    if isinstance(thing, types.ModuleType):
        return thing.__name__, module_digest(thing.__name__)
    if isinstance(thing, Broadcast):
        return _handle(thing)
    return _code(thing) if isinstance(thing, types.CodeType) else reduce_generator(thing)


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Return what a code object does, without where it stands in its file."""
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return code.co_code, code.co_exceptiontable, code.co_consts, names, shape


def _function(function: types.FunctionType) -> tuple[Any, ...]:
    code = function.__code__
    known = [(name, function.__globals__[name]) for name in code_globals(code) if name in function.__globals__]
    modules = sorted({value.__name__ for _, value in known if isinstance(value, types.ModuleType)})
    captured = [
        (name, cell.cell_contents)
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True)
        if cell != types.CellType()
    ]
    more = (function.__defaults__, function.__kwdefaults__, vars(function), code_modules(code, tuple(modules)))
    return code, captured, known, *more


def _handle(handle: Broadcast) -> tuple[Any, ...]:
    """Return what stands for data that was put on the nodes: the digests of its parts."""
    if handle._parts is None:
        raise TypeError("the broadcast handle is closed")
    where, holes, buffers = handle._parts
    stream = where.entry.name if isinstance(where, Loan) else where
    loans = [loan.entry.name for loan in (*(loan for _, loan in holes), *buffers)]
    return stream, [offset for offset, _ in holes], loans


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
    return type(kind), kind.__bases__, own


_SETS = (pickle.EMPTY_SET, pickle.FROZENSET)
_PLAIN = (int, float, str, bool, type(None))


class _Stream(io.BytesIO):
    """Where what is digested goes; without the memo, up to `MOST`."""

    def __init__(self, fast: bool) -> None:
        super().__init__()
        self._most = MOST if fast else float("inf")

    def write(self, data: Any) -> int:
        """Take one piece of the pickle."""
        if self.tell() > self._most:
            raise ValueError("too long")
        return super().write(data)


class Keys:
    """Digests of calls, for the length of one call of ``map`` or Parallel.

    Parameters
    ----------
    limit
        Arrays of more bytes than this are looked at once; see `hpcml.callbook.CallBook`, which sends them once.

    Examples
    --------
    >>> from hpcml.keys import Keys
    >>> Keys().digest(({"b", "a"}, lambda x: x + 1)) == Keys().digest(({"a", "b"}, lambda x: x + 1))
    True
    >>> Keys().digest(lambda x: x + 1) == Keys().digest(lambda x: x + 2)
    False
    """

    def __init__(self, limit: float = float("inf")) -> None:
        self._limit = limit
        self._known: dict[Hashable, tuple[Any, str]] = {}
        self.table = dict(cloudpickle.Pickler.dispatch_table)  # as it is now: that one is a slow ChainMap
        self.named: dict[int, tuple[Any, Any]] = {id(_nothing): (_nothing, NotImplemented)}  # see _Pickler, by id

    def digest(self, thing: Any) -> str:
        """Return the digest of any object that can be pickled."""
        if type(thing) is tuple and all(type(part) in _PLAIN for part in thing):
            return digest(repr(thing).encode("utf-8", "surrogatepass"))
        try:
            return self._digest(thing, fast=True)
        except (ValueError, RecursionError):  # it contains itself: then the memo is needed
            return self._digest(thing, fast=False)

    def _digest(self, thing: Any, fast: bool) -> str:
        written = self._write(_Pickler, thing, fast)
        if any(opcode in written for opcode in _SETS):  # or a byte that looks like one
            written = self._write(_SetPickler, thing, fast)
        return digest(written)

    def _write(self, kind: type[_Pickler], thing: Any, fast: bool) -> bytes:
        stream = _Stream(fast)
        pickler = kind(stream, self)
        pickler.fast = fast
        pickler.dump(thing)
        return stream.getvalue()

    def lend(self, nbytes: int, key: Hashable, owner: Any, produce: Callable[[], memoryview]) -> str:
        """Return the digest of an array's content; see `hpcml.arrays.Lend`."""
        if nbytes <= self._limit:
            return digest(produce())
        key = (nbytes, key)
        living, known = self._known.get(key, (lambda: None, ""))
        if living() is None:
            known = digest(produce())
            self._known[key] = (weakref.ref(owner), known)
        return known

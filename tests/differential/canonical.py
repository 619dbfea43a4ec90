"""Canonical texts of objects: equal in two processes where a program sees no difference.

A text holds types, values, and which mutable objects are one and the same (``&n`` numbers an object when it is met
first, ``*n`` stands for it when it is met again). Classes of the script are compared with the script's own: an
instance of another class of the same name is an ``ALIEN``. ``=NAME`` marks the object of a global of the script.
"""

import enum
import functools
import hashlib
import random
import re
import types
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["Canonical"]

_ATOMS = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis), type(NotImplemented))
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SIZE = 12  # numbers of an array that are shown; of a larger one it is a digest
_SKIPPED = (types.FunctionType, types.ModuleType, type)


class Canonical:
    """Canonical texts of the objects of one map, numbered in the order in which they are met.

    Parameters
    ----------
    namespace
        The globals of the script.
    own
        Mark the objects that are the script's own.
    """

    def __init__(self, namespace: Mapping[str, Any], own: bool = True) -> None:
        self._namespace = namespace
        self._own = {id(value): name for name, value in namespace.items()} if own else {}
        self._met: dict[int, tuple[int, Any]] = {}

    def of(self, thing: Any) -> str:  # noqa: PLR0911  a table of kinds
        """Return the text of an object."""
        kind = type(thing)
        if kind in _ATOMS:
            return _ADDRESS.sub(" at 0x", repr(thing))  # of an object that was written without a repr of its own
        if isinstance(thing, type):
            return f"class {self.name(thing)}"
        if isinstance(thing, enum.Enum):
            own = "" if kind.__members__.get(thing.name) is thing else "ALIEN "
            return f"{own}{self.name(kind)}.{thing.name}"
        if isinstance(thing, np.generic):
            return f"{thing.dtype}({thing!s})"
        if kind is tuple:
            return f"({self._all(thing)})"
        if isinstance(thing, frozenset):
            return f"frozenset({sorted(map(self.of, thing))})"
        if isinstance(thing, types.BuiltinFunctionType | types.ModuleType):
            return f"{kind.__name__} {thing.__name__}"
        if isinstance(thing, types.FunctionType) and thing.__module__ != "__main__":
            return f"function {thing.__module__}.{thing.__qualname__}"
        return self._by_identity(thing)

    def name(self, kind: type) -> str:
        """Return the name of a class, and whether it is not the script's own."""
        name = kind.__qualname__
        if kind.__module__ != "__main__":
            return f"{kind.__module__}.{name}"
        return name if "<locals>" in name or self._namespace.get(name) is kind else f"ALIEN {name}"

    def state(self) -> str:
        """Return the text of the script's globals, but for functions, classes, modules and names with a ``_``."""
        shown = sorted(
            name
            for name, value in self._namespace.items()
            if not name.startswith("_") and not isinstance(value, _SKIPPED) and name not in ("run", "RUN", "LOG")
        )
        parts = [f"{name} = {self.of(self._namespace[name])}" for name in shown]
        for name, kind in self._namespace.items():
            if isinstance(kind, type) and kind.__module__ == "__main__" and not issubclass(kind, enum.Enum):
                own = {key: value for key, value in vars(kind).items() if type(value) in (int, list)}
                parts += [f"{name}.{key} = {self.of(value)}" for key, value in own.items() if key[0] != "_"]
        return "; ".join(parts)

    def _all(self, things: Iterable[Any]) -> str:
        return ", ".join(map(self.of, things))

    def _pairs(self, things: Mapping[Any, Any]) -> str:
        return ", ".join(f"{self.of(key)}: {self.of(value)}" for key, value in things.items())

    def _by_identity(self, thing: Any) -> str:
        if id(thing) in self._met:
            return f"*{self._met[id(thing)][0]}"
        number = len(self._met)
        self._met[id(thing)] = number, thing
        own = f"={self._own[id(thing)]} " if id(thing) in self._own else ""
        return f"&{number} {own}{self._content(thing)}"

    def _content(self, thing: Any) -> str:  # noqa: PLR0911  a table of kinds
        name = self.name(type(thing))
        if isinstance(thing, np.ndarray):
            held = self._all(thing.ravel()) if thing.dtype.hasobject else _numbers(thing)
            order = "".join(flag[0] for flag in ("C_CONTIGUOUS", "F_CONTIGUOUS", "WRITEABLE") if thing.flags[flag])
            return f"{name} {thing.dtype}{thing.shape}{order} {held}"
        if isinstance(thing, random.Random):
            return f"{name} {_digest(repr(thing.getstate()).encode())}"
        if isinstance(thing, np.random.Generator):
            return f"{name} {_digest(repr(thing.bit_generator.state).encode())}"
        if isinstance(thing, types.FunctionType):
            return self._function(thing)
        if isinstance(thing, types.MethodType):
            return f"method {thing.__name__} of {self.of(thing.__self__)}"
        if isinstance(thing, functools.partial):
            return f"partial({self._all((thing.func, thing.args, thing.keywords))})"
        if isinstance(thing, BaseException):
            return f"{name}({self._error(thing)})"
        return self._object(thing, name)

    def _object(self, thing: Any, name: str) -> str:
        slots = [slot for slot in getattr(type(thing), "__slots__", ()) if hasattr(thing, slot)]
        state = {**getattr(thing, "__dict__", {}), **{slot: getattr(thing, slot) for slot in slots}}
        held = ""
        if isinstance(thing, Mapping):
            held = f"{{{self._pairs(thing)}}}"
        elif isinstance(thing, set):
            held = f"{{{', '.join(sorted(map(self.of, thing)))}}}"
        elif isinstance(thing, list | tuple):
            held = f"[{self._all(thing)}]"
        elif isinstance(thing, bytearray):
            held = repr(bytes(thing))
        elif not state and not hasattr(thing, "__dict__") and type(thing) is not object:
            held = repr(thing)
        label = "" if type(thing) in (list, dict, set) else name
        return f"{label}{held}{f'<{self._pairs(state)}>' if state else ''}"

    def _function(self, function: types.FunctionType) -> str:
        cells = [cell.cell_contents for cell in function.__closure__ or () if cell != types.CellType()]
        parts = (function.__defaults__, function.__kwdefaults__, tuple(cells), dict(vars(function)))
        return f"function {function.__qualname__}({self._all(parts)})"

    def _error(self, error: BaseException) -> str:
        state = {key: value for key, value in vars(error).items() if key != "__notes__"}
        notes = list(getattr(error, "__notes__", ()))
        named = [getattr(error, name, None) for name in ("errno", "strerror", "filename", "object", "start")]
        return f"args={self._all(error.args)}; {self._pairs(state)}; notes={notes}; {named}"


def _numbers(array: np.ndarray) -> str:
    return str(array.tolist() if array.size <= _SIZE else _digest(np.ascontiguousarray(array).tobytes()))


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()[:12]

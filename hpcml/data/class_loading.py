"""Loading of the script's classes on workers: each is made once, and has its sent attributes for each task.

cloudpickle would make such a class before it looks whether the process has it, and would keep the attributes that
tasks have added.
"""

import pickle
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import cloudpickle

__all__ = ["ClassUnpickler", "holds_class", "load"]

_pickles = cloudpickle.cloudpickle
_MAKERS = ("_make_skeleton_class", "_make_skeleton_enum")
_MARK = b"_make_skeleton_"
_LIBRARIES = ("abc", "enum", "typing", "builtins")  # their classes register no other class

_made: "weakref.WeakKeyDictionary[type, frozenset[str]]" = weakref.WeakKeyDictionary()
"""Classes that were made here, with the attributes that Python has given them."""


class ClassUnpickler(pickle.Unpickler):
    """Unpickler that makes no class twice, and removes the attributes that tasks have added to a class."""

    registers_classes = False
    """True after a class was made that its metaclass or base registers, in state that may have been set before."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the object of a name in the pickle; see `pickle.Unpickler.find_class`."""
        if module == _pickles.__name__:
            if name in _MAKERS:
                return partial(self._make, getattr(_pickles, name))
            if name == "_class_setstate":
                return self.set_state
        return super().find_class(module, name)

    def known_class(self, number: str) -> type | None:
        """Return the class that has a number of cloudpickle's in this process, None where there is none."""
        found: type | None = _pickles._DYNAMIC_CLASS_TRACKER_BY_ID.get(number)
        return found

    def _make(self, make: Callable[..., type], *parts: Any) -> type:
        kind = self.known_class(parts[-2])
        if kind is None:
            kind = make(*parts)
            _made[kind] = frozenset(vars(kind))
            self.registers_classes = self.registers_classes or _is_registered(kind)
        return kind

    def set_state(self, kind: type, state: Any) -> type:
        """Set the attributes of a class, and remove those that tasks have added."""
        attributes = state[0]
        for name in vars(kind).keys() - _made.get(kind, vars(kind).keys()) - attributes.keys():
            delattr(kind, name)
        made: type = _pickles._class_setstate(kind, state)
        return made


def load(make: Callable[[], ClassUnpickler]) -> tuple[Any, ClassUnpickler]:
    """Load a pickle, and return the object and the unpickler.

    Where a class was made that another one registers, the pickle is loaded a second time: the registry is in the
    pickle, too, and after the first time would hold the class twice.
    """
    unpickler = make()
    thing = unpickler.load()
    if unpickler.registers_classes:
        unpickler = make()
        thing = unpickler.load()
        unpickler.registers_classes = True
    return thing, unpickler


def holds_class(packed: bytes | memoryview) -> bool:
    """Return whether a pickle holds a class by value."""
    return _MARK in bytes(packed)


def _is_registered(kind: type) -> bool:
    """Return whether code that is not Python's own runs when a class like this is made."""
    hook = getattr(kind.__init_subclass__, "__func__", None)
    return any(
        getattr(code, "__module__", "").partition(".")[0] not in _LIBRARIES
        for code in (type(kind), *(() if hook is None else (hook,)))
    )

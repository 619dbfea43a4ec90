"""Classes of the script in pickles that are loaded on workers: made once, and as they were sent each time.

cloudpickle makes such a class before it looks whether the process has it, and leaves what a task has added to it.
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
_LIBRARIES = ("abc", "enum", "typing", "builtins")  # whose classes note nothing in others

_made: "weakref.WeakKeyDictionary[type, frozenset[str]]" = weakref.WeakKeyDictionary()
"""The classes that were made here, and the attributes that Python gave them."""


class ClassUnpickler(pickle.Unpickler):
    """An unpickler that makes no class anew that this process has, and takes from it what a task has added."""

    notes_classes = False
    """Whether a class was made whose metaclass or base notes it, in state that may have been set before."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name in the pickle means; see `pickle.Unpickler.find_class`."""
        if module == _pickles.__name__:
            if name in _MAKERS:
                return partial(self._make, getattr(_pickles, name))
            if name == "_class_setstate":
                return self.set_state
        return super().find_class(module, name)

    def known_class(self, number: str) -> type | None:
        """Return the class that has a number of cloudpickle's in this process."""
        found: type | None = _pickles._DYNAMIC_CLASS_TRACKER_BY_ID.get(number)
        return found

    def _make(self, make: Callable[..., type], *parts: Any) -> type:
        kind = self.known_class(parts[-2])
        if kind is None:
            kind = make(*parts)
            _made[kind] = frozenset(vars(kind))
            self.notes_classes = self.notes_classes or _is_noted(kind)
        return kind

    def set_state(self, kind: type, state: Any) -> type:
        """Set the attributes of a class, and remove others."""
        attributes = state[0]
        for name in vars(kind).keys() - _made.get(kind, vars(kind).keys()) - attributes.keys():
            delattr(kind, name)
        made: type = _pickles._class_setstate(kind, state)
        return made


def load(make: Callable[[], ClassUnpickler]) -> tuple[Any, Any]:
    """Return what an unpickler loads, and the unpickler.

    The pickle is loaded again, by another one, where it has made a class that others have noted: what they note is
    in the pickle too, and would be there twice.
    """
    unpickler = make()
    thing = unpickler.load()
    if unpickler.notes_classes:
        unpickler = make()
        thing = unpickler.load()
        unpickler.notes_classes = True
    return thing, unpickler


def holds_class(packed: bytes | memoryview) -> bool:
    """Tell whether a pickle holds a class by value."""
    return _MARK in bytes(packed)


def _is_noted(kind: type) -> bool:
    """Tell whether code that is not Python's own runs when this class is made."""
    hook = getattr(kind.__init_subclass__, "__func__", None)
    return any(
        getattr(code, "__module__", "").partition(".")[0] not in _LIBRARIES
        for code in (type(kind), *(() if hook is None else (hook,)))
    )

"""Classes of the script with ``__slots__``, which cloudpickle makes anew without slots."""

from types import MemberDescriptorType
from typing import Any, NamedTuple

__all__ = ["with_slots"]

_TYPE_KWARGS = 3  # the place among the arguments of `cloudpickle.cloudpickle._make_skeleton_class`


def with_slots(thing: Any, reduced: Any) -> Any:
    """Return the reduction of a class with its slots; of any other object, return `reduced`.

    Parameters
    ----------
    reduced
        The reduction of cloudpickle, which leaves out the slots.

    Examples
    --------
    >>> import pickle, io
    >>> from hpcml.data.pickling import dumps_parts
    >>> Point = type("Point", (), {"__slots__": ("x",), "__module__": "__main__"})
    >>> hasattr(pickle.loads(dumps_parts(Point()))[0], "__dict__")
    False
    """
    if not isinstance(thing, type) or not isinstance(reduced, tuple) or "__slots__" not in vars(thing):
        return reduced
    make, arguments, state, *more = reduced
    made_by_typing = NamedTuple in vars(thing).get("__orig_bases__", ())
    if made_by_typing or getattr(make, "__name__", "") != "_make_skeleton_class":
        return reduced
    settings = {**arguments[_TYPE_KWARGS], "__slots__": vars(thing)["__slots__"]}
    arguments = (*arguments[:_TYPE_KWARGS], settings, *arguments[_TYPE_KWARGS + 1 :])
    attributes, slots = state
    kept = {name: value for name, value in attributes.items() if not _comes_with_slots(name, value)}
    return make, arguments, (kept, slots), *more


def _comes_with_slots(name: str, value: Any) -> bool:
    """Return whether Python adds an attribute to a class for its slots."""
    # By type, and not by the names of the slots: the descriptor of ``__x`` is called ``_Class__x``.
    return name == "__slots__" or isinstance(value, MemberDescriptorType)

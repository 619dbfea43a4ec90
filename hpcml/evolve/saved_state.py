"""Content of a checkpoint, as bytes: a state, its subject, and the versions of the libraries that wrote it."""

import io
import logging
import pickle
import sys
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

from hpcml.data.deap import creator_class, reduce_individual
from hpcml.data.definitions import is_found_by_name
from hpcml.data.out_of_band import dumps_result
from hpcml.errors import HpcmlError

__all__ = ["pack_state", "unpack_state"]

log = logging.getLogger("hpcml")

_COMPARED = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)


def pack_state(about: Any, state: dict[str, Any]) -> bytes:
    """Return a state as bytes: one pickle, because the same individual may be in several places.

    Parameters
    ----------
    about
        The subject, which must be equal when an evolution continues from this state.
    """
    content = {**state, "about": about, "versions": _versions()}
    packed = io.BytesIO()
    try:
        _Pickler(packed, pickle.HIGHEST_PROTOCOL).dump(content)
    except Exception:  # an object that only cloudpickle can pickle
        return dumps_result(content)
    return packed.getvalue()


def unpack_state(packed: bytes, about: Any, path: Path) -> dict[str, Any]:
    """Return the state that `pack_state` was given, read from `path`.

    Raises
    ------
    HpcmlError
        The subject is another one; or a class does not exist in this program, or is not as it was.
    """
    try:
        state: dict[str, Any] = _Unpickler(io.BytesIO(packed)).load()
    except HpcmlError as error:
        raise HpcmlError(f"{path}: {error}") from error
    except (AttributeError, ImportError) as error:
        raise HpcmlError(
            f"{path} cannot be read in this program: {error}. Define that as it was, or remove the file to begin "
            "anew"
        ) from error
    if state["about"] != about:
        raise HpcmlError(
            f"{path} is the checkpoint of {state['about']}, and this is {about}: "
            "remove the file to begin anew, or give another"
        )
    if state["versions"] != _versions():
        log.warning("%s was written with %s: results may differ in the last digits", path, state["versions"])
    return state


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("deap", "numpy")}
    return {"python": ".".join(map(str, sys.version_info[:2])), **found}


class _Pickler(pickle.Pickler):
    """Pickler that writes names of functions and classes, also of the script: its own classes are read back."""

    def reducer_override(self, thing: Any) -> Any:
        """Return the reduction of an individual, its class, or a function or class without a name."""
        found = reduce_individual(thing)
        if found is None and isinstance(thing, type | FunctionType) and not is_found_by_name(thing):
            found = pickle.loads, (dumps_result(thing),)
        return NotImplemented if found is None else found


class _Unpickler(pickle.Unpickler):
    """Unpickler that takes the script's own classes of DEAP's creator."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the object of a name; see `pickle.Unpickler.find_class`."""
        found = super().find_class(module, name)
        return _scripts_class if found is creator_class else found


def _scripts_class(name: str, base: type, attributes: dict[str, Any]) -> Any:
    """Return the class of DEAP's creator that the script has made under this name."""
    made = creator_class(name, base, attributes)
    there = getattr(sys.modules["deap.creator"], name)
    if there is made:
        return made
    if isinstance(there, type(made)) and _may_be_same(there.reduce_args[1:], (base, attributes)):
        return there
    raise HpcmlError(
        f"creator.{name} is not what it was when this was written, {_describe(base, attributes)}: "
        "make it so again, or remove the file to begin anew"
    )


def _may_be_same(one: Any, other: Any) -> bool:
    """Return whether two values may be the same: objects of classes that cannot be compared count as equal."""
    if isinstance(one, type):
        names = [(kind.__module__, kind.__qualname__) for kind in (one, other) if isinstance(kind, type)]
        return one is other or (len(names) == 2 and names[0] == names[1] and names[0][0] != "deap.creator")
    if type(one).__qualname__ != type(other).__qualname__:
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_may_be_same(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_may_be_same, one, other))
    if hasattr(one, "tolist"):  # an array
        return bool(one.tolist() == other.tolist())
    return not isinstance(one, _COMPARED) or bool(one == other)


def _describe(base: type, attributes: dict[str, Any]) -> str:
    """Return a class of DEAP's creator as text, for the message."""
    values = {name: getattr(value, "__name__", None) or repr(value)[:100] for name, value in attributes.items()}
    return ", ".join([base.__name__, *(f"{name}={value}" for name, value in values.items())])

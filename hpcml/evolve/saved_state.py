"""Content of a checkpoint, as bytes: with its subject, and the versions that wrote it."""

import io
import logging
import pickle
import sys
from importlib.metadata import version
from pathlib import Path
from types import FunctionType
from typing import Any

from hpcml.data.deap import creator_class, reduce_individual
from hpcml.data.out_of_band import dumps_result
from hpcml.errors import HpcmlError

__all__ = ["pack_state", "unpack_state"]

log = logging.getLogger("hpcml")

_COMPARED = (bool, int, float, complex, str, bytes, tuple, list, dict, set, frozenset)


def pack_state(about: Any, kept: dict[str, Any]) -> bytes:
    """Return `kept` as bytes; in one pickle, for individuals may be in several places.

    `about` is what must be the same when an evolution goes on from it.
    """
    what = {**kept, "about": about, "versions": _versions()}
    packed = io.BytesIO()
    try:
        _Pickler(packed, pickle.HIGHEST_PROTOCOL).dump(what)
    except Exception:  # something that only cloudpickle can
        return dumps_result(what)
    return packed.getvalue()


def unpack_state(saved: bytes, about: Any, path: Path) -> dict[str, Any]:
    """Return what `pack_state` was given; it was read from `path`.

    Raises
    ------
    HpcmlError
        It is about something else; a class is not there, or not as it was.
    """
    try:
        kept: dict[str, Any] = _Unpickler(io.BytesIO(saved)).load()
    except HpcmlError as error:
        raise HpcmlError(f"{path}: {error}") from error
    except (AttributeError, ImportError) as error:
        raise HpcmlError(
            f"{path} cannot be read in this program: {error}. Define that as it was, or remove the file to begin "
            "anew"
        ) from error
    if kept["about"] != about:
        raise HpcmlError(
            f"{path} is the checkpoint of {kept['about']}, and this is {about}: "
            "remove the file to begin anew, or give another"
        )
    if kept["versions"] != _versions():
        log.warning("%s was written with %s: results may differ in the last digits", path, kept["versions"])
    return kept


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in ("deap", "numpy")}
    return {"python": ".".join(map(str, sys.version_info[:2])), **found}


class _Pickler(pickle.Pickler):
    """Pickles by name what has one, also in the script: what is read again is then of the script's own classes."""

    def reducer_override(self, thing: Any) -> Any:
        """Return how an individual, its class, or what has no name is built."""
        found = reduce_individual(thing)
        if found is None and isinstance(thing, type | FunctionType) and not _has_name(thing):
            found = pickle.loads, (dumps_result(thing),)
        return NotImplemented if found is None else found


def _has_name(thing: Any) -> bool:
    """Tell whether a class or function is found where its name says."""
    found: Any = sys.modules.get(thing.__module__)
    for name in thing.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is thing


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what is found by name; the script's classes in place of those described."""
        found = super().find_class(module, name)
        return _scripts_class if found is creator_class else found


def _scripts_class(name: str, base: type, attributes: dict[str, Any]) -> Any:
    """Return the class of DEAP's creator that the script has made under this name."""
    made = creator_class(name, base, attributes)
    there = getattr(sys.modules["deap.creator"], name)
    if there is made:
        return made
    if isinstance(there, type(made)) and _alike(there.reduce_args[1:], (base, attributes)):
        return there
    raise HpcmlError(
        f"creator.{name} is not what it was when this was written, {_shown(base, attributes)}: "
        "make it so again, or remove the file to begin anew"
    )


def _alike(one: Any, other: Any) -> bool:
    """Tell whether nothing speaks against two values being the same; objects of many classes cannot tell."""
    if isinstance(one, type):
        names = [(kind.__module__, kind.__qualname__) for kind in (one, other) if isinstance(kind, type)]
        return one is other or (len(names) == 2 and names[0] == names[1] and names[0][0] != "deap.creator")
    if type(one).__qualname__ != type(other).__qualname__:
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if hasattr(one, "tolist"):  # an array
        return bool(one.tolist() == other.tolist())
    return not isinstance(one, _COMPARED) or bool(one == other)


def _shown(base: type, attributes: dict[str, Any]) -> str:
    values = {name: getattr(value, "__name__", None) or repr(value)[:100] for name, value in attributes.items()}
    return ", ".join([base.__name__, *(f"{name}={value}" for name, value in values.items())])

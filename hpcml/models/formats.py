"""Formats of models on disk: safetensors for arrays, skops for estimators of scikit-learn; no pickle in either."""

import contextlib
import math
import os
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from hpcml.errors import HpcmlError

__all__ = ["FORMATS", "foreign_types", "format_of", "read_model", "write_model"]

FORMATS = ("safetensors", "skops")
"""Endings of the names of files, which are the names of the formats."""

PART_ITEMS = 1 << 16  # half a megabyte of an array is read at one go


def _library(name: str) -> ModuleType:
    """Import a library that hpcml does not require."""
    try:
        if name == "skops":
            import skops.io

            return cast(ModuleType, skops.io)
        import safetensors.numpy

        return safetensors.numpy
    except ImportError as error:
        raise HpcmlError(
            f"models are saved with {name}, which cannot be imported ({error}): pip install 'hpcml[models]'"
        ) from error


def format_of(model: object) -> str:
    """Return the format in which a model is saved.

    Raises
    ------
    HpcmlError
        The model is neither a dict of arrays, nor an estimator, nor the path of such a file.

    Examples
    --------
    >>> import numpy
    >>> from hpcml.models.formats import format_of
    >>> format_of({"weights": numpy.zeros(3)}), format_of("epoch-9.safetensors")
    ('safetensors', 'safetensors')
    """
    if isinstance(model, str | os.PathLike):
        ending = Path(model).suffix.removeprefix(".")
        if ending in FORMATS:
            return ending
        raise HpcmlError(f"{model} is no file of a model: its name must end with .safetensors or .skops")
    if isinstance(model, Mapping):
        return "safetensors"
    if hasattr(model, "get_params"):
        return "skops"
    raise HpcmlError(
        f"a {type(model).__name__} is no model that can be saved without pickle: give a dict of arrays by name "
        "(as of torch's state_dict()), an estimator of scikit-learn, or the path of a .safetensors or .skops file"
    )


def write_model(model: Any, path: Path) -> None:
    """Write a model to a new file, in the format of its name's ending, or copy the file that it is.

    Raises
    ------
    HpcmlError
        An array has a type that the format lacks, or a library is missing.
    OSError
        There is no room.
    """
    if isinstance(model, str | os.PathLike):
        shutil.copyfile(model, path)
    elif path.suffix == ".safetensors":
        _library("safetensors").save_file(_arrays(model), path)
    else:
        try:
            _library("skops").dump(model, path)
        except TypeError as error:
            raise HpcmlError(f"a {type(model).__name__} cannot be saved by skops: {error}") from error


def _arrays(model: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the arrays of a model; tensors of torch become such where they are on the CPU."""
    import numpy as np

    found = {}
    for name, value in model.items():
        if not isinstance(name, str):
            raise HpcmlError(f"the arrays of a model have names; {name!r} is a {type(name).__name__}")
        try:
            # ascontiguousarray() gives an array without dimensions one dimension.
            array = np.asarray(value, order="C")
        except (TypeError, ValueError, RuntimeError) as error:
            raise HpcmlError(f"{name!r} of the model is no array: {error}") from error
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise HpcmlError(
                f"{name!r} of the model has the type {array.dtype}; safetensors holds numbers of up to 64 bits"
            )
        found[name] = array
    return found


def foreign_types(path: Path) -> list[str]:
    """Return the types in a file that only their owner can vouch for: those of neither numpy nor scikit-learn.

    Raises
    ------
    HpcmlError
        The file is none of its format.
    """
    with _readable(path):
        if path.suffix == ".skops":
            return sorted(_library("skops").get_untrusted_types(file=path))
        with _library("safetensors").safe_open(path, framework="np"):  # the names and places of all arrays
            return []


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise HpcmlError for what the libraries raise for a file that is damaged, or is none of its format."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise HpcmlError(f"{path} cannot be read: {error}") from error
    except Exception as error:
        if type(error).__name__ == "SafetensorError":
            raise HpcmlError(f"{path} cannot be read: {error}") from error
        raise


def _read_arrays(path: Path) -> dict[str, Any]:
    """Return the arrays of a file, read in parts.

    safetensors copies an array at one go, and holds the interpreter meanwhile: a server would stop for so long.
    """
    import numpy as np

    found = {}
    with _library("safetensors").safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118 - no dict
            part = file.get_slice(name)
            shape = part.get_shape()
            if math.prod(shape) < PART_ITEMS:
                found[name] = file.get_tensor(name)
                continue
            step = max(1, PART_ITEMS * shape[0] // math.prod(shape))
            found[name] = np.empty(shape, part[:1].dtype)
            for begin in range(0, shape[0], step):
                end = min(begin + step, shape[0])
                found[name][begin:end] = part[begin:end]
    return found


def read_model(path: Path, trusted: Collection[str] = ()) -> Any:
    """Return the model of a file; no code of the file is run.

    Parameters
    ----------
    trusted
        Names of types, as ``module.Class``, that may be made of a skops file, beside scikit-learn's and numpy's.

    Raises
    ------
    HpcmlError
        The file is damaged, has other types, or a library is missing.
    """
    with _readable(path):
        if path.suffix == ".safetensors":
            return _read_arrays(path)
        unknown = sorted(set(foreign_types(path)) - set(trusted))
        if not unknown:
            return _library("skops").load(path, trusted=sorted(trusted))
    raise HpcmlError(
        f"{path} has types that are not scikit-learn's: {', '.join(unknown)}. Where you trust these, give "
        f"trusted={unknown}, or --trust {' '.join(unknown)}"
    )

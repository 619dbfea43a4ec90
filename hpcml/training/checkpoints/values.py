"""Values of a checkpoint as JSON and arrays: nothing that is loaded can run code.

Every dict, tuple and array of a state is an object with one key in the JSON, its kind. Arrays are numbers in
there, of the arrays beside it. A pickle could hold more, and could run anything when it is loaded.
"""

import base64
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcml.errors import HpcmlError

__all__ = ["Array", "pack_values", "unpack_values"]

Array = npt.NDArray[Any]

_INTEGERS = {1: np.uint8, 2: np.int16, 4: np.int32, 8: np.int64}
_PLAIN = (bool, int, float, str, type(None))


def pack_values(state: Any, place: str = "state") -> tuple[Any, list[Array]]:
    """Return a state as a value for JSON, and the arrays that are numbers in there.

    The arrays share the memory of the state. A value that occurs twice is two values.

    Parameters
    ----------
    state
        None, bool, int, float, complex, str, bytes; arrays and scalars of numpy without Python objects; dense
        tensors of torch; dicts, lists and tuples of these.
    place
        Name of the state in messages.

    Raises
    ------
    HpcmlError
        The state holds something else; the message has its place.

    Examples
    --------
    >>> import numpy as np
    >>> from hpcml.training.checkpoints.values import pack_values, unpack_values
    >>> tree, arrays = pack_values({"weights": np.ones(2), "betas": (0.9, 0.999)})
    >>> tree
    {'dict': [['weights', {'array': 0}], ['betas', {'tuple': [0.9, 0.999]}]]}
    >>> unpack_values(tree, arrays)
    {'weights': array([1., 1.]), 'betas': (0.9, 0.999)}
    """
    arrays: list[Array] = []
    return _pack(state, arrays, place), arrays


def unpack_values(tree: Any, arrays: Sequence[Array]) -> Any:
    """Return the state that `pack_values` has made a tree and arrays of; tensors are on the CPU.

    Raises
    ------
    HpcmlError
        The state holds tensors, and torch is not installed; or the tree is of another version of hpcml.
    """
    if isinstance(tree, list):
        return [unpack_values(one, arrays) for one in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind not in _LOADERS:
        raise HpcmlError(f"the checkpoint has a value of the unknown kind {kind!r}: a newer hpcml has written it")
    return _LOADERS[kind](content, arrays)


def _pack(value: Any, arrays: list[Array], place: str) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        items = [_pack(one, arrays, f"{place}[{number}]") for number, one in enumerate(value)]
        return items if kind is list else {"tuple": items}
    if isinstance(value, dict):
        items = [
            [_pack(key, arrays, place), _pack(one, arrays, f"{place}[{key!r}]")] for key, one in value.items()
        ]
        return {"dict": items}
    return _pack_leaf(value, arrays, place)


def _pack_leaf(value: Any, arrays: list[Array], place: str) -> dict[str, Any]:
    kind = type(value)
    torch = sys.modules.get("torch")
    if kind is bytes:
        return {"bytes": base64.b64encode(value).decode()}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if kind in (np.ndarray, np.memmap) or isinstance(value, np.generic):
        _check_array(np.asarray(value), place)
        return {"scalar" if isinstance(value, np.generic) else "array": _number(np.asarray(value), arrays)}
    if torch is not None and isinstance(value, torch.Tensor):
        return {"tensor": _pack_tensor(value, arrays, place, torch)}
    raise _refusal(value, place)


def _number(array: Array, arrays: list[Array]) -> int:
    arrays.append(array)
    return len(arrays) - 1


def _check_array(array: Array, place: str) -> None:
    """Raise HpcmlError for an array whose bytes do not say what is in it."""
    described = np.lib.format.dtype_to_descr(array.dtype) if array.dtype.kind not in "OT" else None
    if array.dtype.hasobject or described is None or np.lib.format.descr_to_dtype(described) != array.dtype:
        raise HpcmlError(
            f"{place} is an array of {array.dtype}, which a checkpoint cannot hold: convert it, for instance by "
            f".astype(float) or .astype('U')"
        )


def _pack_tensor(tensor: Any, arrays: list[Array], place: str, torch: Any) -> list[Any]:
    """Return number and dtype of a tensor; numpy has no bfloat16, so bytes are noted with the name of torch."""
    shards = hasattr(tensor, "device_mesh")
    if shards or tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
        kind = "a share of a tensor of all ranks" if shards else f"a tensor that is {tensor.layout}"
        raise HpcmlError(
            f"{place} is {kind} on {tensor.device}: save it by torch.distributed.checkpoint, into the directory "
            "of Checkpoints.new"
        )
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    try:
        array = plain.numpy()
    except TypeError:  # a type that numpy does not have
        bits = getattr(torch, np.dtype(_INTEGERS[plain.element_size()]).name)
        array = plain.view(bits).numpy()
    return [_number(array, arrays), str(tensor.dtype).removeprefix("torch."), bool(tensor.requires_grad)]


def _load_tensor(content: Any, arrays: Sequence[Array]) -> Any:
    try:
        import torch
    except ImportError as error:
        raise HpcmlError(
            f"the checkpoint holds tensors, and torch is not installed here: {sys.executable} -m pip install torch"
        ) from error
    number, dtype, requires_grad = content
    array = np.require(arrays[number], requirements="W")
    kind = getattr(torch, str(dtype))
    tensor = torch.from_numpy(array)
    return (tensor if tensor.dtype == kind else tensor.view(kind)).requires_grad_(bool(requires_grad))


def _refusal(value: object, place: str) -> HpcmlError:
    kind = type(value)
    advice = f"a checkpoint holds plain values, arrays and tensors, and no {kind.__module__}.{kind.__qualname__}"
    if hasattr(value, "state_dict"):
        advice = "give what its state_dict() returns"
    elif hasattr(value, "bit_generator"):
        advice = "give its bit_generator.state"
    elif hasattr(value, "__array__"):
        advice = "give numpy.asarray() of it"
    shown = " ".join(repr(value).split())
    return HpcmlError(f"{place} is {kind.__name__} {shown:.60}: {advice}")


_LOADERS: dict[str, Callable[[Any, Sequence[Array]], Any]] = {
    "tuple": lambda content, arrays: tuple(unpack_values(content, arrays)),
    "dict": lambda content, arrays: {
        unpack_values(key, arrays): unpack_values(value, arrays) for key, value in content
    },
    "bytes": lambda content, arrays: base64.b64decode(content),
    "complex": lambda content, arrays: complex(*content),
    "array": lambda content, arrays: arrays[content],
    "scalar": lambda content, arrays: arrays[content][()],
    "tensor": _load_tensor,
}

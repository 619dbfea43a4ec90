"""Tensors of torch in keys: by content, dtype and layout. Nothing here imports torch.

A pickle of a tensor holds the address of its storage, which differs from process to process.
"""

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["is_tensor", "tensor_parts"]


def is_tensor(kind: type) -> bool:
    """Return whether a class is one of torch's tensors or storages; False where torch is not imported."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "Tensor"):
        return False
    return issubclass(kind, (torch.Tensor, torch.UntypedStorage, torch.TypedStorage))


def tensor_parts(thing: Any, digest: Callable[[Any], str]) -> tuple[Any, ...]:
    """Return the parts of a key for a tensor or storage: dtype, layout, and its content as a digest.

    Raises
    ------
    TypeError
        The content cannot be read, as for a tensor on the device "meta".
    """
    torch = sys.modules["torch"]
    if not isinstance(thing, torch.Tensor):
        flat = thing if isinstance(thing, torch.UntypedStorage) else thing._untyped_storage
        plain = torch.empty(0, dtype=torch.uint8).set_(flat.cpu())
        return str(getattr(thing, "dtype", "")), thing.device.type, digest(plain.numpy())
    about = (str(thing.dtype), tuple(thing.shape), thing.device.type, str(thing.layout), thing.requires_grad)
    attributes = dict(vars(thing))
    if thing.is_quantized or thing.device.type == "meta":
        raise TypeError(f"the content of a tensor with {thing.dtype} on {thing.device} cannot be read")
    if thing.layout == torch.sparse_coo:
        whole = thing.detach().coalesce()
        parts = [whole.indices(), whole.values()]
    elif thing.layout != torch.strided:
        whole = thing.detach()
        parts = [getattr(whole, name)() for name in _index_names(thing.layout, torch)] + [whole.values()]
    else:
        return *about, thing.stride(), _content_digest(thing, torch, digest), attributes
    return *about, [tensor_parts(part, digest) for part in parts], attributes


def _index_names(layout: Any, torch: Any) -> tuple[str, str]:
    rows = layout in (torch.sparse_csr, torch.sparse_bsr)
    return ("crow_indices", "col_indices") if rows else ("ccol_indices", "row_indices")


def _content_digest(tensor: Any, torch: Any, digest: Callable[[Any], str]) -> str:
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
    return digest(plain.view(torch.uint8).numpy())

"""Gradients of a module of torch, averaged over ranks in one flat tensor for each type.

Nothing here imports torch.
"""

import sys
import zlib
from collections.abc import Iterable
from typing import Any

from hpcml.training.rank_group import RankGroup

__all__ = ["average_gradients", "copy_module"]

_BITS = 62  # of a number that a group gathers


def average_gradients(group: RankGroup, parameters: Iterable[Any], samples: int, share_of: Any) -> None:
    """Put the mean over the rows of all ranks into the gradients of parameters.

    A gradient that no rank has stays None; a rank without one that others have gets theirs.

    Parameters
    ----------
    share_of
        Function of the samples of all ranks that returns this rank's share of the mean.
    """
    torch = sys.modules["torch"]
    wanted = [one for one in parameters if one.requires_grad]
    has = [one.grad is not None for one in wanted]
    outline = zlib.crc32(repr([(tuple(one.shape), str(one.dtype)) for one in wanted]).encode())
    all_numbers = group.gather_numbers([samples, outline, *_packed(has)])
    share = share_of([numbers[0] for numbers in all_numbers], [numbers[1] for numbers in all_numbers])
    masks = [_unpacked(numbers[2:], len(wanted)) for numbers in all_numbers]
    used = [one for one, *on_ranks in zip(wanted, *masks, strict=True) if any(on_ranks)]
    with torch.no_grad():
        for kind in dict.fromkeys((one.device, _sum_type(one, torch)) for one in used):
            _average(group, [one for one in used if (one.device, _sum_type(one, torch)) == kind], share, torch)


def _packed(flags: list[bool]) -> list[int]:
    """Return flags as the bits of integers."""
    parts = [flags[first : first + _BITS] for first in range(0, len(flags), _BITS)]
    return [sum(flag << place for place, flag in enumerate(part)) for part in parts]


def _unpacked(numbers: list[int], count: int) -> list[bool]:
    return [bool(numbers[place // _BITS] >> place % _BITS & 1) for place in range(count)]


def _sum_type(parameter: Any, torch: Any) -> Any:
    """Return the type in which a gradient is summed: half precision in single precision."""
    return torch.promote_types(parameter.dtype, torch.float32)


def _average(group: RankGroup, parameters: list[Any], share: float, torch: Any) -> None:
    kind, device = _sum_type(parameters[0], torch), parameters[0].device
    flat = torch.zeros(sum(one.numel() for one in parameters), dtype=kind, device=device)
    parts = flat.split([one.numel() for one in parameters])
    for one, part in zip(parameters, parts, strict=True):
        if one.grad is not None and one.grad.layout != torch.strided:
            raise TypeError(f"a gradient of shape {tuple(one.shape)} is sparse: make its layer with sparse=False")
        if one.grad is not None and share:
            part.copy_(one.grad.reshape(-1)).mul_(share)
    group.sum_into(flat)
    for one, part in zip(parameters, parts, strict=True):
        mean = part.view(one.shape).to(one.dtype)
        if one.grad is None:
            one.grad = mean.clone()
        else:
            one.grad.copy_(mean)


def copy_module(group: RankGroup, module: Any) -> None:
    """Put the parameters and buffers of rank 0's module into those of the others."""
    torch = sys.modules["torch"]
    with torch.no_grad():
        for one in (*module.parameters(), *module.buffers()):
            flat = one.detach().contiguous().clone().reshape(-1)
            group.copy_first(flat)
            one.copy_(flat.view(one.shape))

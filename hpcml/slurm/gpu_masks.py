"""Variables that name the GPUs which a process may use, and their division among the slots of a node.

Pure functions. Slurm sets CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES, ZE_AFFINITY_MASK and GPU_DEVICE_ORDINAL, or
those of the vendor that gres.conf names. Only variables that are set are divided.
"""

from collections.abc import Mapping, Sequence
from itertools import takewhile

__all__ = ["MASKS", "count_gpus", "masked_gpus", "share_of_slot", "slot_masks"]

MASKS = (
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "ZE_AFFINITY_MASK",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
)
"""Variables that a program's library reads: NVIDIA's, AMD's driver's, Intel's, and two of AMD's languages."""

_WITHIN_ROCR = ("HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")  # they number the devices that ROCR's variable leaves
_NONE = ("", "NoDevFiles", "none")


def masked_gpus(text: str | None) -> tuple[str, ...]:
    """Return the GPUs that a variable names; CUDA reads up to the first number that is none.

    Examples
    --------
    >>> from hpcml.slurm.gpu_masks import masked_gpus
    >>> masked_gpus("0, 2"), masked_gpus("GPU-a,-1,GPU-b"), masked_gpus("NoDevFiles"), masked_gpus(None)
    (('0', '2'), ('GPU-a',), (), ())
    """
    if text is None or text.strip() in _NONE:
        return ()
    return tuple(takewhile(lambda one: one and not one.startswith("-"), (one.strip() for one in text.split(","))))


def count_gpus(environment: Mapping[str, str], names: Mapping[str, Sequence[str]]) -> int:
    """Return the number of GPUs that the variables of a process name; see `slot_masks` for `names`.

    Examples
    --------
    >>> from hpcml.slurm.gpu_masks import count_gpus
    >>> count_gpus({"CUDA_VISIBLE_DEVICES": "0,1"}, {"1": ["MIG-a", "MIG-b"]}), count_gpus({"HOME": "/root"}, {})
    (3, 0)
    """
    return max((len(gpus) for gpus in _held(environment, names).values()), default=0)


def share_of_slot(gpus: Sequence[str], slot: int, slots: int) -> tuple[str, ...]:
    """Return the GPUs of one slot; with more slots than GPUs, neighbouring slots share one.

    Examples
    --------
    >>> from hpcml.slurm.gpu_masks import share_of_slot
    >>> [share_of_slot("0123", slot, 2) for slot in range(2)], [share_of_slot("01", slot, 3) for slot in range(3)]
    ([('0', '1'), ('2', '3')], [('0',), ('0',), ('1',)])
    """
    if 0 < len(gpus) < slots:
        return (gpus[slot * len(gpus) // slots],)
    return tuple(gpus[slot * len(gpus) // slots : (slot + 1) * len(gpus) // slots])


def slot_masks(
    environment: Mapping[str, str],
    slot: int,
    slots: int,
    names: Mapping[str, Sequence[str]],
    is_amd: bool = False,
) -> dict[str, str]:
    """Return the variables of the GPUs of one slot, given those of the node.

    Parameters
    ----------
    environment
        The variables of the node's program.
    slot, slots
        The number of the slot, from 0, and of all slots.
    names
        NVIDIA's names of its GPUs: of each number, the UUID, or those of its MIG instances. A number without a
        name stays.
    is_amd
        The node has AMD's driver. Its HIP reads CUDA_VISIBLE_DEVICES as well, and numbers the devices that
        ROCR_VISIBLE_DEVICES leaves.

    Notes
    -----
    CUDA numbers the fastest GPU first, Slurm and NVML in the order of PCI addresses, unless CUDA_DEVICE_ORDER is
    PCI_BUS_ID.

    Examples
    --------
    >>> from hpcml.slurm.gpu_masks import slot_masks
    >>> slot_masks({"CUDA_VISIBLE_DEVICES": "0,1"}, 1, 2, {"1": ["GPU-b"]})
    {'CUDA_VISIBLE_DEVICES': 'GPU-b', 'CUDA_DEVICE_ORDER': 'PCI_BUS_ID'}
    >>> slot_masks({"ROCR_VISIBLE_DEVICES": "0,1", "GPU_DEVICE_ORDINAL": "0,1"}, 1, 2, {})
    {'ROCR_VISIBLE_DEVICES': '1', 'GPU_DEVICE_ORDINAL': '0'}
    """
    shares = {name: share_of_slot(gpus, slot, slots) for name, gpus in _held(environment, names).items() if gpus}
    if "ROCR_VISIBLE_DEVICES" in shares:
        inner = (*_WITHIN_ROCR, *(MASKS[:1] if is_amd else ()))
        renumbered = tuple(str(number) for number in range(len(shares["ROCR_VISIBLE_DEVICES"])))
        shares |= dict.fromkeys((name for name in inner if name in shares), renumbered)
    found = {name: ",".join(share) for name, share in shares.items()}
    if MASKS[0] in found:
        found["CUDA_DEVICE_ORDER"] = environment.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return found


def _held(environment: Mapping[str, str], names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Return the GPUs of each variable that is set, those of CUDA by their names."""
    found = {name: masked_gpus(environment[name]) for name in MASKS if name in environment}
    if MASKS[0] in found:
        found[MASKS[0]] = tuple(name for gpu in found[MASKS[0]] for name in names.get(gpu, (gpu,)))
    return found

"""GPUs of this computer: by NVML, NVIDIA's own library, where there are its driver and nvidia-ml-py, or files.

Files of the driver have the UUIDs too; without them, the device files have the numbers alone. GPUs to which this
process has no access, for they are another job's, are left out.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Device", "device_names", "find_devices", "has_amd"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Device:
    """A GPU of NVIDIA's.

    Parameters
    ----------
    number
        Among the GPUs that this process has access to, in the order of PCI addresses, as CUDA numbers them with
        CUDA_DEVICE_ORDER=PCI_BUS_ID.
    uuid
        ``GPU-…``; "" where it is not known.
    name, memory
        The model, and its MB (of 2**20 bytes); "" and None where they are not known.
    instances
        UUIDs of its MIG instances, ``MIG-…``: parts of a GPU that CUDA takes for GPUs, one in each process.
    """

    number: int
    uuid: str = ""
    name: str = ""
    memory: int | None = None
    instances: tuple[str, ...] = ()


def find_devices(root: Path = Path("/")) -> tuple[Device, ...]:
    """Return the GPUs of NVIDIA's that this process has access to; `root` has the files ``proc`` and ``dev``.

    Examples
    --------
    >>> from pathlib import Path
    >>> find_devices(Path("/nonexistent")) if not Path("/dev/nvidiactl").exists() else ()
    ()
    """
    if not (root / "dev/nvidiactl").exists() and not list((root / "dev").glob("nvidia[0-9]*")):
        return ()  # to import and start NVML takes 0.2 s
    by_nvml = _nvml_devices()
    return tuple(_driver_devices(root)) if by_nvml is None else by_nvml


def device_names(devices: tuple[Device, ...]) -> dict[str, tuple[str, ...]]:
    """Return CUDA's names of each GPU, by its number: its MIG instances, or its UUID.

    Examples
    --------
    >>> device_names((Device(0, "GPU-a"), Device(1, "GPU-b", instances=("MIG-c", "MIG-d")), Device(2)))
    {'0': ('GPU-a',), '1': ('MIG-c', 'MIG-d')}
    """
    named = {str(one.number): one.instances or ((one.uuid,) if one.uuid else ()) for one in devices}
    return {number: names for number, names in named.items() if names}


def has_amd() -> bool:
    """Return whether this computer has AMD's driver for computing."""
    return os.path.exists("/dev/kfd")


def _nvml_devices() -> tuple[Device, ...] | None:
    """Return the GPUs that NVML finds; None where NVML is not installed, or does not answer."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        found: list[Device] = []
        for place in range(pynvml.nvmlDeviceGetCount()):
            with contextlib.suppress(pynvml.NVMLError):  # no permission: it is another job's
                handle = pynvml.nvmlDeviceGetHandleByIndex(place)
                found.append(_nvml_device(pynvml, handle, len(found)))
        return tuple(found)
    except pynvml.NVMLError:
        return None
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _nvml_device(nvml: Any, handle: Any, number: int) -> Device:
    uuid = _text(nvml.nvmlDeviceGetUUID(handle))
    name, memory = "", None
    with contextlib.suppress(nvml.NVMLError):
        name = _text(nvml.nvmlDeviceGetName(handle))
        memory = nvml.nvmlDeviceGetMemoryInfo(handle).total // _MIB
    return Device(number, uuid, name, memory, tuple(_instances(nvml, handle)))


def _instances(nvml: Any, handle: Any) -> Iterator[str]:
    """Yield the UUIDs of a GPU's MIG instances; none where it is not divided."""
    try:
        if nvml.nvmlDeviceGetMigMode(handle)[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return
        most = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU that cannot be divided
        return
    for place in range(most):
        with contextlib.suppress(nvml.NVMLError):  # an empty place, or no permission
            yield _text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)))


def _text(value: str | bytes) -> str:
    """Return a string of NVML's: before release 11.5 of its binding these were bytes."""
    return value.decode() if isinstance(value, bytes) else value


def _driver_devices(root: Path) -> Iterator[Device]:
    """Yield the GPUs that the driver's files have, or else the device files."""
    files = sorted(root.glob("proc/driver/nvidia/gpus/*/information"))  # named by PCI address
    number = 0
    for fields in map(_fields, files):
        if _is_open(root / f"dev/nvidia{fields('Device Minor')}"):
            uuid = fields("GPU UUID")
            yield Device(number, uuid if "?" not in uuid else "", fields("Model"))
            number += 1
    if not files:
        opened = [path for path in (root / "dev").glob("nvidia[0-9]*") if _is_open(path)]
        yield from (Device(number) for number, _ in enumerate(opened))


def _fields(path: Path) -> Callable[[str], str]:
    """Return a function that gives the value of a line of a driver's file, "" for one that is not there."""
    text = ""
    with contextlib.suppress(OSError):
        text = path.read_text(errors="replace")
    found = dict(re.findall(r"^([^:\n]+):[ \t]*(.*?)[ \t]*$", text, re.MULTILINE))
    return lambda name: found.get(name, "")


def _is_open(path: Path) -> bool:
    """Return whether this process may open a device, which the control group of a job may forbid."""
    return os.access(path, os.R_OK | os.W_OK)

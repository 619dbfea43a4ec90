"""GPUs of a computer: by the driver's files, and by NVML over a driver library that is built for the test."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcml.engines.nodes.devices import Device, find_devices

# What the driver writes, from NVIDIA's README of driver 550, chapter "/proc interface", and a server's own files.
INFORMATION = """Model: \t\t NVIDIA A100-SXM4-40GB
IRQ:   \t\t 181
GPU UUID: \t {uuid}
Bus Location: \t 0000:{bus}:00.0
Device Minor: \t {minor}
"""
DRIVER = """
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory_t;
static int gpus[3] = {0, 1, 2}, instance = 7;
int nvmlInitWithFlags(unsigned f) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *n) { *n = 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) { *h = &gpus[i]; return i == 0 ? 4 : 0; }
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) {
    strncpy(s, h == &instance ? "MIG-c" : h == &gpus[1] ? "GPU-a" : "GPU-b", n); return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned n) { strncpy(s, "NVIDIA A100", n); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, memory_t *m) { m->total = 40ULL << 30; return 0; }
int nvmlDeviceGetMigMode(void *h, unsigned *now, unsigned *next) { *now = *next = h == &gpus[2]; return 0; }
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *n) { *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned i, void **m) { *m = &instance; return i == 2 ? 0 : 6; }
"""


def device(path, kind=0o20000):
    """Make a character device, a clone of /dev/null, as the tests' Slurm has for a GPU."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mknod(path, kind | 0o666, os.stat("/dev/null").st_rdev)
    except PermissionError:
        pytest.skip("only root may make devices")
    path.chmod(0o666)


def test_a_computer_without_the_driver_has_no_gpu(tmp_path):
    assert find_devices(tmp_path) == ()


def test_without_nvml_the_files_of_the_driver_have_the_uuids(tmp_path):
    """The order is that of PCI addresses; the GPU without a device file is another job's."""
    for bus, minor, uuid in (("07", 1, "GPU-a"), ("0f", 0, "GPU-b"), ("47", 2, "GPU-c")):
        path = tmp_path / f"proc/driver/nvidia/gpus/0000:{bus}:00.0/information"
        path.parent.mkdir(parents=True)
        path.write_text(INFORMATION.format(bus=bus, minor=minor, uuid=uuid))
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        device(tmp_path / "dev" / name)
    name = "NVIDIA A100-SXM4-40GB"
    assert find_devices(tmp_path) == (Device(0, "GPU-a", name), Device(1, "GPU-b", name))


def test_device_files_alone_have_numbers(tmp_path):
    for name in ("nvidia2", "nvidia10"):
        device(tmp_path / "dev" / name)
    assert find_devices(tmp_path) == (Device(0), Device(1))


@pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
def test_nvml_has_models_memory_and_instances(tmp_path):
    """A GPU without permission is left out; one that is divided has its instances. Another process loads NVML."""
    pytest.importorskip("pynvml", reason="nvidia-ml-py is not installed")
    source, library = tmp_path / "driver.c", tmp_path / "libnvidia-ml.so.1"
    source.write_text(DRIVER)
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
    device(tmp_path / "dev/nvidiactl")
    program = (
        "import dataclasses, json, pathlib, sys; from hpcml.engines.nodes.devices import find_devices; "
        "print(json.dumps([dataclasses.asdict(one) for one in find_devices(pathlib.Path(sys.argv[1]))]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    one = {"name": "NVIDIA A100", "memory": 40960}
    assert json.loads(done.stdout) == [
        {"number": 0, "uuid": "GPU-a", **one, "instances": []},
        {"number": 1, "uuid": "GPU-b", **one, "instances": ["MIG-c"]},
    ]

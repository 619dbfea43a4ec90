"""Files in /dev/shm that a killed rank leaves: those that it has mapped are removed, and no others."""

import os
import subprocess
import sys

import pytest
from patience import patient

from hpcml.engines.mpi.shared_memory import SharedFile, mapped_files, remove_unused

MAPPER = """
import mmap, os, sys
file = os.open(sys.argv[1], os.O_RDWR)
mapped = mmap.mmap(file, 4096)
os.close(file)
print("mapped", flush=True)
sys.stdin.read()
"""

LAUNCHER = """
import mmap, os, sys, time
from hpcml.engines.mpi import relay, relay_process

def start(order, control):
    file = os.open(sys.argv[1], os.O_RDWR)
    mapped = mmap.mmap(file, 4096)
    print("mapped", flush=True)
    time.sleep(600)

relay.run_relay = start
launcher = relay_process.RelayProcess({"node": "n1"}, os.open(os.devnull, os.O_WRONLY))
sys.stdin.readline()
launcher.close(together=False)
launcher.wait()
"""


@pytest.fixture
def path():
    path = f"/dev/shm/hpcml-test-{os.getpid()}"
    make(path)
    yield path
    if os.path.exists(path):
        os.unlink(path)


def make(path):
    with open(path, "wb") as file:
        file.write(bytes(4096))


@pytest.fixture
def mapper(path):
    process = subprocess.Popen(
        [sys.executable, "-c", MAPPER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"mapped\n"
    yield process
    process.communicate(timeout=patient(20))


def test_a_file_is_removed_when_no_living_process_maps_it(path, mapper):
    files = mapped_files(mapper.pid)
    assert files == [SharedFile(path, os.stat(path).st_ino)]
    remove_unused(files)
    assert os.path.exists(path), "a living process maps it"
    mapper.kill()
    mapper.wait(patient(20))
    remove_unused(files)
    assert not os.path.exists(path)


def test_another_file_of_the_same_name_is_left(path, mapper):
    files = mapped_files(mapper.pid)
    mapper.kill()
    mapper.wait(patient(20))
    os.rename(path, f"{path}-former")
    make(path)
    os.unlink(f"{path}-former")
    remove_unused(files)
    assert os.path.exists(path)


def test_a_file_that_is_removed_already_is_not_found(path, mapper):
    os.unlink(path)
    assert mapped_files(mapper.pid) == []


def test_a_relay_that_is_killed_while_mpi_starts_leaves_no_file(path):
    """MPICH maps its file before its ranks know of each other."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "mapped\n"
    process.communicate("end\n", timeout=patient(20))
    assert process.returncode == 0
    assert not os.path.exists(path)

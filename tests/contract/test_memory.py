"""Error of a task that needs more memory than its job has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient

from hpcml.engines.nodes.memory import oom_counters

SCRIPT = """
import json, sys
import hpcml

def eat():
    return len(bytearray(2 << 30))

try:
    with hpcml.Cluster("ipyparallel", slots_per_node=1, progress=False, retries=2) as cluster:
        cluster.submit(eat).result(60)
except hpcml.WorkerDied as error:
    print(json.dumps(str(error)))
"""


@pytest.fixture
def small_cgroup():
    """Cgroup of 800 MB; a process in it that needs more is killed."""
    own = Path("/proc/self/cgroup").read_text()
    parent = oom_counters(own)[0].parent
    place, limit = (parent / "hpcml-test"), "memory.limit_in_bytes"
    if parent.name == "proc":
        pytest.skip("this computer has no memory cgroups")
    try:
        place.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        if not (place / limit).exists():
            limit = "memory.max"
        if not (place / limit).exists():
            pytest.skip("memory is not among the controllers that this cgroup may delegate")
        (place / limit).write_text(str(800 << 20))
        yield place
    finally:
        place.rmdir()


def test_a_task_killed_for_want_of_memory_is_named(small_cgroup, tmp_path):
    within = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', small_cgroup / "cgroup.procs"]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    command = [*within, sys.executable, "-c", SCRIPT]
    options = {"cwd": tmp_path, "env": alone, "timeout": patient(100)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, **options)
    assert "ended 2 workers" in json.loads(done.stdout), done.stderr
    assert "out of memory: the kernel sent SIGKILL" in json.loads(done.stdout)

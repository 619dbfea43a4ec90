"""A script with more open files than select(2) takes."""

import os
import resource
import subprocess
import sys

import pytest
from patience import patient

FILES = 1_100  # FD_SETSIZE is 1,024
SCRIPT = f"""
import os, signal, sys, time
files = [open(os.devnull) for _ in range({FILES})]
import hpcml

def slow():
    print("begun", flush=True)
    time.sleep(1)
    return 1

with hpcml.Cluster(sys.argv[1], slots_per_node=2, requeue=True, progress=False) as cluster:
    assert cluster.submit(slow).result() == 1
    os.kill(os.getpid(), signal.SIGUSR1)  # near the end of the job: no other task starts
    for _ in range(20):
        cluster.submit(slow).result()
"""


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_a_script_with_many_open_files_sees_its_tasks_prints_and_the_end_of_its_job(tmp_path, engine):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = min(hard, 4 * FILES) if hard != resource.RLIM_INFINITY else 4 * FILES
    if limit < 2 * FILES:
        pytest.skip(f"this computer allows {hard} open files")
    done = subprocess.run([sys.executable, "-c", SCRIPT, engine], cwd=tmp_path, capture_output=True, text=True,
                          timeout=patient(60), check=False, env=os.environ,
                          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, limit), hard)))
    assert "select()" not in done.stderr
    assert "begun" in done.stdout
    assert "OutOfTime" in done.stderr, done.stderr

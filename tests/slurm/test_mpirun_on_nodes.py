"""``mpirun hpcml run`` in a job on three nodes: rank 0 runs the script, the ranks of all nodes are its workers."""

import importlib.util
import json

import pytest
from patience import patient

SCRIPT = """
import json, sys
import numpy as np
import hpcml
from hpcml.engines.worker import current_worker

def where(array):
    return float(array.sum()), current_worker().host

with hpcml.Cluster() as cluster:
    numbers = np.arange(500_000.0)  # of 4 MB, and each node has a memory of its own
    found = list(cluster.map(where, [number * numbers for number in range(12)]))
    print(json.dumps([cluster.slots, cluster.hosts, found]), flush=True)
"""
JOB = """#!/bin/bash
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
exec mpirun --oversubscribe --bind-to none {python} -m hpcml run --quiet {script}
"""


@pytest.mark.release("22.05")
@pytest.mark.skipif(importlib.util.find_spec("mpi4py") is None, reason="mpi4py is not installed")
def test_the_ranks_of_mpirun_in_a_job_are_the_workers(cluster):
    script = cluster.write("on_ranks.py", SCRIPT)
    job = cluster.sbatch(JOB.format(python=cluster.python, script=script), "-N3", "--ntasks-per-node=2")
    end = cluster.wait(job, timeout=patient(60))
    assert end.state == "COMPLETED", end.output
    slots, hosts, found = json.loads(end.output.splitlines()[-1])
    assert slots == 5
    assert hosts == ["n1", "n2", "n3"]
    assert [total for total, _ in found] == [number * 499_999 * 250_000 for number in range(12)]
    assert {host for _, host in found} <= set(hosts)

"""Allocations of any size are read quickly; hostile variables are refused quickly."""

import time

import pytest
from patience import promised

from hpcml.slurm.allocation import detect
from hpcml.slurm.hostlist import MAX_NAMES, expand
from hpcml.slurm.nodes import Node


def test_a_hostlist_with_every_form_of_slurms():
    names = "a01 a02 a03 a7 b-1-ib0 b-1-ib1 b-2-ib0 b-2-ib1 c"
    assert expand("a[01-03,7],b-[1-2]-ib[0-1],c") == tuple(names.split())


def job(nodes, **variables):
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": f"n[1-{nodes}]",
        "SLURM_JOB_NUM_NODES": str(nodes),
        "SLURM_TASKS_PER_NODE": f"4(x{nodes - 1}),1",
        "SLURM_JOB_CPUS_PER_NODE": f"8(x{nodes})",
        "SLURMD_NODENAME": "n1",
        **variables,
    }


def test_an_allocation_of_a_hundred_thousand_nodes():
    began = time.perf_counter()
    allocation = detect(job(100_000, SLURM_CPUS_PER_TASK="2"))
    assert time.perf_counter() - began < promised(10)
    assert (len(allocation.nodes), allocation.slots) == (100_000, 399_997)
    assert allocation.nodes[-1] == Node("n100000", 1, cpus_per_slot=2, cpus=8)


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_JOB_NODELIST": f"n[1-{MAX_NAMES + 1}]"},
        {"SLURM_JOB_NODELIST": "n[0-9]" * 40},
        {"SLURM_JOB_NODELIST": "n[" * 100_000},
        {"SLURM_JOB_NODELIST": "n," * 100_000 + "]"},
        {"SLURM_JOB_NODELIST": "n" * 1_000_000},
        {"SLURM_TASKS_PER_NODE": "1(x999999999)"},
        {"SLURM_TASKS_PER_NODE": "1," * 1_000_000},
        {"SLURM_TASKS_PER_NODE": "1," * 200_000 + "1"},
        {"SLURM_JOB_NODELIST": "n," * 200_000 + "n"},
        {"SLURM_JOB_NODELIST": ",".join(f"n{number}" for number in range(100_000)), "SLURM_NTASKS": "x" * 100_000},
        {"SLURM_HET_SIZE": "9" * 18, "SLURM_JOB_ID_HET_GROUP_0": "7"},
    ],
    ids=range(11),
)
def test_hostile_variables_are_refused_at_once_with_a_short_error(variables):
    began = time.perf_counter()
    with pytest.raises(Exception, match=r"SLURM_\* variables here do not describe one job") as caught:
        detect(job(3) | variables)
    assert time.perf_counter() - began < promised(10)
    assert len(str(caught.value)) < 20 * 420

"""The allocation: slots, CPUs, GPUs and memory of each node, as Slurm's documentation says."""

import pytest
from slurm_environments import BATCH, HET, STEP, found

from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.nodes import Node


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"PATH": "/usr/bin", "SLURM_CONF": "/etc/slurm.conf", "SLURM_CLUSTERS": "a", "SLURM_TIME_FORMAT": "%s"},
        {"SLURM_NTASKS": "4", "SLURM_CPUS_PER_TASK": "2", "SLURM_JOB_ID": ""},
        {"SLURM_ACCOUNT": "lab", "SBATCH_PARTITION": "main", "SRUN_CPUS_PER_TASK": "2"},
    ],
)
def test_options_of_slurm_are_no_job(env: dict[str, str]) -> None:
    assert detect(env) is None


@pytest.mark.parametrize(
    ("variables", "cpus"),
    [
        ({}, 1),
        ({"SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"SLURM_TRES_PER_TASK": "cpu:2"}, 2),  # 23.11
        ({"SLURM_TRES_PER_TASK": "cpu=2,gres/gpu=1"}, 2),  # 24.05
        ({"SLURM_TRES_PER_TASK": "gres/gpu:a100=1,cpu=2", "SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"SLURM_TRES_PER_TASK": "gres/gpu=4"}, 1),
    ],
)
def test_cpus_per_slot_are_those_of_a_task(variables: dict[str, str], cpus: int) -> None:
    env = {key: value for key, value in BATCH.items() if key != "SLURM_CPUS_PER_TASK"} | variables
    assert {node.cpus_per_slot for node in found(env).nodes} == {cpus}


@pytest.mark.parametrize(
    ("variables", "gpus"),
    [
        ({}, [0, 0, 0]),
        ({"SLURM_GPUS_PER_NODE": "4"}, [4, 4, 4]),
        ({"SLURM_GPUS_PER_NODE": "a100:2"}, [2, 2, 2]),
        ({"SLURM_GPUS_PER_NODE": "a100:2,v100:1"}, [3, 3, 3]),
        ({"SLURM_GPUS_PER_TASK": "1"}, [2, 2, 1]),
        ({"SLURM_GPUS_PER_TASK": "a100:2"}, [4, 4, 2]),
        ({"SLURM_TRES_PER_TASK": "gres:gpu:1"}, [2, 2, 1]),
        ({"SLURM_TRES_PER_TASK": "cpu=2,gres/gpu:a100=2"}, [4, 4, 2]),
        ({"SLURM_GPUS": "5"}, [0, 0, 0]),
        ({"SLURM_GPUS": "5", "SLURM_GPUS_ON_NODE": "2"}, [2, 0, 0]),
        ({"SLURM_GPUS_PER_NODE": "2", "SLURM_GPUS_ON_NODE": "1"}, [1, 2, 2]),
    ],
)
def test_gpus_of_each_node(variables: dict[str, str], gpus: list[int]) -> None:
    assert [node.gpus for node in found(BATCH | variables).nodes] == gpus


def test_all_gpus_of_a_job_on_one_node_are_on_that_node() -> None:
    env = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", "SLURM_TASKS_PER_NODE": "2", "SLURM_GPUS": "a100:3"}
    assert [node.gpus for node in found(env).nodes] == [3]


def test_the_label_of_an_array_task_is_slurms() -> None:
    array = {"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3"}
    assert (found(BATCH).label, found(BATCH | array).label) == ("7", "5_3")


def test_memory_of_zero_means_unknown() -> None:
    assert {node.memory for node in found(BATCH | {"SLURM_MEM_PER_NODE": "0"}).nodes} == {None}


def test_a_step_has_its_own_nodes_and_slots() -> None:
    assert found(STEP) == Allocation(
        7,
        (Node("n2", 2, cpus_per_slot=2, cpus=4), Node("n3", 1, cpus_per_slot=2, cpus=2)),
        "step",
        step_id=4,
        task_rank=1,
        task_count=3,
        launch_node="n2",
    )


def test_only_the_first_task_of_a_pty_step_is_interactive() -> None:
    pty = STEP | {"SLURM_PTY_PORT": "4000"}
    assert [found(pty | {"SLURM_PROCID": rank}).where for rank in "012"] == ["interactive", "step", "step"]


def test_a_batch_script_submitted_from_inside_a_step_has_its_own_nodes() -> None:
    env = BATCH | {key: value for key, value in STEP.items() if "STEP" in key} | {"SLURM_NTASKS": "3"}
    assert found(env) == found(BATCH)


def test_components_of_a_heterogeneous_job_keep_their_own_shares() -> None:
    allocation = found(HET | {"SLURM_CPUS_PER_TASK_HET_GROUP_0": "2"})
    second = Node("n2", 3, het_group=1), Node("n3", 1, het_group=1)
    assert allocation.nodes == (Node("n1", 1, cpus_per_slot=2), *second)
    assert (allocation.het_groups, allocation.where, allocation.hosts) == (2, "login", ("n1", "n2", "n3"))

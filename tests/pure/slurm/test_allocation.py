"""Detecting the allocation: environments recorded from real Slurm, partial ones, contradictory ones, stale ones.

tests/data/environments/record made the recorded ones and says where their expected values come from.
"""

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcml.errors import AllocationError
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.nodes import Node

RECORDED = sorted((Path(__file__).parents[2] / "data" / "environments").glob("*/*.json"))
YEAR = 365 * 24 * 3600  # what Slurm plans for a job without limit

BATCH = {
    "ENVIRONMENT": "BATCH",
    "SLURMD_NODENAME": "n1",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_JOB_CPUS_PER_NODE": "4(x2),2",
    "SLURM_TASKS_PER_NODE": "2(x2),1",
    "SLURM_CPUS_PER_TASK": "2",
    "SLURM_NTASKS": "5",
    "SLURM_PROCID": "0",
}
STEP = {
    **BATCH,
    "SLURMD_NODENAME": "n2",
    "SLURM_TASKS_PER_NODE": "2,1",
    "SLURM_NTASKS": "3",
    "SLURM_STEP_ID": "4",
    "SLURM_STEP_NODELIST": "n[2-3]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURM_PROCID": "1",
}
HET = {
    "SLURM_JOB_ID": "7",
    "SLURM_HET_SIZE": "2",
    "SLURM_JOB_ID_HET_GROUP_0": "7",
    "SLURM_JOB_ID_HET_GROUP_1": "8",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "n1",
    "SLURM_JOB_NODELIST_HET_GROUP_1": "n[2-3]",
    "SLURM_TASKS_PER_NODE_HET_GROUP_0": "1",
    "SLURM_TASKS_PER_NODE_HET_GROUP_1": "3,1",
}


def found(env: dict[str, str]) -> Allocation:
    allocation = detect(env)
    assert allocation is not None
    return allocation


def problems(env: dict[str, str]) -> list[str]:
    """What the error lists, without the lines around it, which are compared once."""
    with pytest.raises(AllocationError) as caught:
        detect(env)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines() if line.startswith("  - ")]


# -- real Slurm ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_recorded_environments_are_read_as_slurm_means_them(file: Path) -> None:
    recorded = json.loads(file.read_text())
    expected: dict[str, Any] = recorded["expected"]
    allocation = json.loads(json.dumps(asdict(found(recorded["environment"]))))
    for node, told in zip(allocation["nodes"], expected["nodes"], strict=True):
        # Not every variable is always there. What is there has to be right.
        node["memory"] = told["memory"] if node["memory"] is None else node["memory"]
        node["gpus"] = node["gpus"] or told["gpus"]
    if expected["end_time"] is None and allocation["end_time"]:
        assert allocation["end_time"] - int(recorded["environment"]["SLURM_JOB_START_TIME"]) == YEAR
        allocation["end_time"] = None
    if file.stem == "sbatch-in-array":  # Only Slurm knows that this job is none of the array's.
        assert (allocation["array"], expected["array"]) == ([1, 3], None)
        allocation["array"] = None
    assert allocation == expected


@pytest.mark.parametrize("release", ["22.05", "24.11"])
def test_the_recordings_tell_gpus_memory_and_end_where_slurm_does(release: str) -> None:
    def of(case: str) -> Allocation:
        file = next(file for file in RECORDED if (file.parent.name, file.stem) == (release, case))
        return found(json.loads(file.read_text())["environment"])

    assert [node.gpus for node in of("sbatch-gpus-per-node").nodes] == [2, 2]
    assert sum(node.gpus for node in of("sbatch-gpus-per-task").nodes) == 4
    assert [node.gpus for node in of("sbatch-gres").nodes] == [1, 0]  # told to the first node only
    assert {node.memory for node in of("sbatch-memory").nodes} == {500}
    assert all(node.memory == 200 * (node.cpus or 0) for node in of("sbatch-uneven").nodes)
    assert (of("sbatch-time-limit").end_time is None) == (release == "22.05")


def test_every_kind_of_start_was_recorded_on_both_releases() -> None:
    names = {release: {f.stem for f in RECORDED if f.parent.name == release} for release in ("22.05", "24.11")}
    assert names["24.11"] - names["22.05"] == {"sbatch-tres-per-task"}
    assert names["22.05"] < names["24.11"]
    assert len(names["22.05"]) > 40


def test_recordings_hold_no_paths() -> None:
    for file in RECORDED:
        values = json.loads(file.read_text())["environment"].values()
        assert not [value for value in values if value.startswith("/")]


# -- no job ----------------------------------------------------------------------------------------------------
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


# -- from the documentation: what the test clusters cannot show ------------------------------------------------
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
def test_cpus_per_slot(variables: dict[str, str], cpus: int) -> None:
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
def test_gpus(variables: dict[str, str], gpus: list[int]) -> None:
    assert [node.gpus for node in found(BATCH | variables).nodes] == gpus


def test_all_gpus_of_a_job_on_one_node_are_on_that_node() -> None:
    env = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", "SLURM_TASKS_PER_NODE": "2", "SLURM_GPUS": "a100:3"}
    assert [node.gpus for node in found(env).nodes] == [3]


def test_a_task_of_an_array_is_called_what_slurm_calls_it() -> None:
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


# -- what must not be guessed ----------------------------------------------------------------------------------
def test_the_error_says_what_was_seen_and_what_to_type() -> None:
    with pytest.raises(AllocationError) as caught:
        detect({"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "2(x3)"})
    assert str(caught.value) == (
        "The SLURM_* variables here do not describe one job:\n"
        "  - SLURM_TASKS_PER_NODE=2(x3) is for 3 nodes, not for n[1-2]\n"
        "To work on this computer alone, forget the job first:  unset ${!SLURM_@}\n"
        "To work in a job, start this anew from its batch script, or from the shell of salloc or srun --pty.\n"
        "What Slurm knows about the job:  scontrol show job 7"
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"SLURM_JOB_NUM_NODES": "2"}, ["SLURM_JOB_NUM_NODES=2, but SLURM_JOB_NODELIST=n[1-3] gives 3"]),
        ({"SLURM_NTASKS": "6"}, ["SLURM_NTASKS=6, but SLURM_TASKS_PER_NODE=2(x2),1 gives 5"]),
        ({"SLURM_TASKS_PER_NODE": ""}, ["SLURM_TASKS_PER_NODE is missing"]),
        ({"SLURM_JOB_ID": ""}, ["SLURM_JOB_ID is missing"]),
        ({"SLURM_JOB_ID": "seven"}, ["SLURM_JOB_ID=seven is not a whole number from 1"]),
        ({"SLURM_JOB_ID": "-7"}, ["SLURM_JOB_ID=-7 is not a whole number from 1"]),
        ({"SLURM_CPUS_PER_TASK": "0"}, ["SLURM_CPUS_PER_TASK=0 is not a whole number from 1"]),
        ({"SLURM_NTASKS": "9" * 19}, [f"SLURM_NTASKS={'9' * 19} is not a whole number from 0"]),
        ({"SLURMD_NODENAME": "n9"}, ["SLURMD_NODENAME=n9 is not among the nodes"]),
        ({"SLURM_PROCID": "3"}, ["SLURM_PROCID=3, but the number of tasks is 1"]),
        ({"SLURM_ARRAY_JOB_ID": "5"}, ["SLURM_ARRAY_TASK_ID is missing"]),
        ({"SLURM_JOB_CPUS_PER_NODE": "4"}, ["SLURM_JOB_CPUS_PER_NODE=4 is for 1 nodes, not for n[1-3]"]),
        ({"SLURM_TRES_PER_TASK": "cpu=1"}, ["SLURM_CPUS_PER_TASK=2, but SLURM_TRES_PER_TASK=cpu=1 gives 1"]),
        ({"SLURM_HET_SIZE": "2"}, ["SLURM_JOB_ID_HET_GROUP_0 is missing"]),
        ({"SLURM_JOB_NODELIST": "n[1-2],n1"}, ["SLURM_JOB_NODELIST=n[1-2],n1 names a node twice"]),
        (
            {"SLURM_CPUS_PER_TASK": "4"},
            [
                "n1 has 4 CPUs (SLURM_JOB_CPUS_PER_NODE), but its 2 tasks (SLURM_TASKS_PER_NODE) "
                "of 4 CPUs (SLURM_CPUS_PER_TASK) need 8",
                "n2 has 4 CPUs (SLURM_JOB_CPUS_PER_NODE), but its 2 tasks (SLURM_TASKS_PER_NODE) "
                "of 4 CPUs (SLURM_CPUS_PER_TASK) need 8",
                "n3 has 2 CPUs (SLURM_JOB_CPUS_PER_NODE), but its 1 tasks (SLURM_TASKS_PER_NODE) "
                "of 4 CPUs (SLURM_CPUS_PER_TASK) need 4",
            ],
        ),
        (
            {"SLURM_TASKS_PER_NODE": "2(x2"},
            ["SLURM_TASKS_PER_NODE: '2(x2' is not a list of counts of Slurm's: at position 0, "
             "'2(x2' is no count such as 4 or 4(x2)"],
        ),
        (
            {"SLURM_JOB_NODELIST": "n[1-999999999]"},
            ["SLURM_JOB_NODELIST: 'n[1-999999999]' is not a hostlist of Slurm's: at position 0, "
             "it reaches 999999999 names, and 262144 is the limit"],
        ),
    ],
)  # fmt: skip
def test_a_broken_batch_environment_is_refused(change: dict[str, str], told: list[str]) -> None:
    assert problems(BATCH | change) == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"SLURM_STEP_NODELIST": ""}, ["SLURM_STEP_NODELIST is missing"]),
        ({"SLURM_STEP_TASKS_PER_NODE": ""}, ["SLURM_STEP_TASKS_PER_NODE is missing"]),
        ({"SLURM_STEP_ID": "batch"}, ["SLURM_STEP_ID=batch is not a whole number from 0"]),
        ({"SLURM_STEP_NUM_TASKS": "5"}, ["SLURM_STEP_NUM_TASKS=5, but SLURM_STEP_TASKS_PER_NODE=2,1 gives 3"]),
        ({"SLURM_STEP_NUM_NODES": "3"}, ["SLURM_STEP_NUM_NODES=3, but SLURM_STEP_NODELIST=n[2-3] gives 2"]),
        ({"SLURM_STEP_NODELIST": "n[2,4]"}, ["SLURM_STEP_NODELIST names n4, SLURM_JOB_NODELIST does not"]),
        ({"SLURM_PROCID": "3"}, ["SLURM_PROCID=3, but the number of tasks is 3"]),
    ],
)
def test_a_broken_step_environment_is_refused(change: dict[str, str], told: list[str]) -> None:
    assert set(told) <= set(problems(STEP | change))


def test_several_problems_are_told_at_once() -> None:
    env = BATCH | {"SLURM_JOB_NUM_NODES": "4", "SLURM_NTASKS": "x", "SLURMD_NODENAME": "gone"}
    assert problems(env) == [
        "SLURM_JOB_NUM_NODES=4, but SLURM_JOB_NODELIST=n[1-3] gives 3",
        "SLURM_NTASKS=x is not a whole number from 0",
        "SLURMD_NODENAME=gone is not among the nodes",
    ]


@pytest.mark.parametrize("mark", ["SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_TASKS_PER_NODE", "SLURM_STEP_ID"])
def test_one_variable_alone_is_no_job_but_no_silence_either(mark: str) -> None:
    assert len(problems({mark: "1"})) >= 2


VALUES = st.sampled_from(["", "0", "1", "2(x2)", "n[1-3]", "n2", "x"])


@given(st.dictionaries(st.sampled_from(sorted(STEP | HET)), VALUES))
def test_whatever_is_changed_it_is_read_or_refused(change: dict[str, str]) -> None:
    with contextlib.suppress(AllocationError):
        detect(STEP | HET | change)

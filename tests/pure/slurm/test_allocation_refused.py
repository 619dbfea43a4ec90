"""Contradictory and incomplete environments of Slurm are refused, never guessed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slurm_environments import BATCH, HET, STEP

from hpcml.errors import AllocationError
from hpcml.slurm.allocation import detect


def problems(env: dict[str, str]) -> list[str]:
    """Return the problems that the error lists, without the lines around them."""
    with pytest.raises(AllocationError) as caught:
        detect(env)
    return [line.removeprefix("  - ") for line in str(caught.value).splitlines() if line.startswith("  - ")]


def test_the_error_lists_the_problems_and_the_commands() -> None:
    with pytest.raises(AllocationError) as caught:
        detect({"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "2(x3)"})
    assert str(caught.value) == (
        "The SLURM_* variables here do not describe one job:\n"
        "  - SLURM_TASKS_PER_NODE=2(x3) is for 3 nodes, not for n[1-2]\n"
        "To work on this computer alone, forget the job first:  unset ${!SLURM_@}\n"
        "To work in a job, start this anew from its batch script, or from the shell of salloc or srun --pty.\n"
        "Slurm's own record of the job:  scontrol show job 7"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
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
def test_a_broken_batch_environment_is_refused(change: dict[str, str], expected: list[str]) -> None:
    assert problems(BATCH | change) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
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
def test_a_broken_step_environment_is_refused(change: dict[str, str], expected: list[str]) -> None:
    assert set(expected) <= set(problems(STEP | change))


def test_all_problems_are_listed_at_once() -> None:
    env = BATCH | {"SLURM_JOB_NUM_NODES": "4", "SLURM_NTASKS": "x", "SLURMD_NODENAME": "gone"}
    assert problems(env) == [
        "SLURM_JOB_NUM_NODES=4, but SLURM_JOB_NODELIST=n[1-3] gives 3",
        "SLURM_NTASKS=x is not a whole number from 0",
        "SLURMD_NODENAME=gone is not among the nodes",
    ]


@pytest.mark.parametrize("mark", ["SLURM_JOB_ID", "SLURM_JOB_NODELIST", "SLURM_TASKS_PER_NODE", "SLURM_STEP_ID"])
def test_one_variable_alone_is_an_error(mark: str) -> None:
    assert len(problems({mark: "1"})) >= 2


VALUES = st.sampled_from(["", "0", "1", "2(x2)", "n[1-3]", "n2", "x"])


@given(st.dictionaries(st.sampled_from(sorted(STEP | HET)), VALUES))
def test_any_change_of_the_environment_is_read_or_refused(change: dict[str, str]) -> None:
    with contextlib.suppress(AllocationError):
        detect(STEP | HET | change)

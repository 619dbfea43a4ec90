"""Reader of Slurm's variables: values, faults that are collected, variables left over from another job."""

import re

import pytest

from hpcml.slurm.variables import SlurmVariables


@pytest.mark.parametrize("text", ["-1", "1.5", "0x10", "\u0661", " 7", "9" * 19])
def test_a_text_that_is_no_number_is_a_problem(text):
    variables = SlurmVariables({"SLURM_NTASKS": text})
    assert variables.number("SLURM_NTASKS") is None
    assert variables.problems == [f"SLURM_NTASKS={text} is not a whole number from 0"]


def test_a_missing_variable_is_a_problem_only_where_it_is_needed():
    variables = SlurmVariables({"SLURM_JOB_ID": ""})
    assert (variables.text("SLURM_JOB_ID"), variables.number("SLURM_JOB_ID")) == ("", None)
    assert variables.problems == []
    assert variables.text("SLURM_JOB_ID", needed=True) == ""
    assert variables.problems == ["SLURM_JOB_ID is missing"]


def test_the_total_is_the_sum_of_all_kinds():
    variables = SlurmVariables({"SLURM_GPUS": "a100:2,v100:1"})
    assert variables.total("SLURM_GPUS", re.compile(r"(\d+)(?:,|$)")) == 3


def test_counts_of_other_nodes_are_a_problem():
    variables = SlurmVariables({"SLURM_TASKS_PER_NODE": "2(x3)"})
    assert variables.counts("SLURM_TASKS_PER_NODE", ("n1", "n2")) == (None, None)
    assert variables.problems == ["SLURM_TASKS_PER_NODE=2(x3) is for 3 nodes, not for n[1-2]"]


@pytest.mark.parametrize(
    ("tasks", "node", "left_over"),
    [("2,1", "n2", False), ("4", "n2", True), ("2,1", "n1", True), ("2,1", "", False)],
)
def test_a_step_of_another_job_is_left_over(tasks, node, left_over):
    env = {"SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_STEP_NODELIST": "n[2-3]", "SLURM_TASKS_PER_NODE": tasks}
    assert SlurmVariables(env | {"SLURMD_NODENAME": node}).step_is_left_over() is left_over


def test_suffixes_are_those_of_the_jobs_own_components():
    env = {"SLURM_HET_SIZE": "2", "SLURM_JOB_ID": "7", "SLURM_JOB_ID_HET_GROUP_0": "7"}
    assert SlurmVariables(env).suffixes() == ["_HET_GROUP_0", "_HET_GROUP_1"]
    assert SlurmVariables(env | {"SLURM_JOB_ID": "8"}).suffixes() == [""]
    lost = SlurmVariables({"SLURM_HET_SIZE": "2", "SLURM_JOB_ID": "7"})
    assert (lost.suffixes(), lost.problems) == ([""], ["SLURM_JOB_ID_HET_GROUP_0 is missing"])

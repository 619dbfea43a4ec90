"""One job among elements of an array and components of a heterogeneous job, as 22.05 and 24.11 print them."""

import pytest

from hpcml.slurm.allocation import detect
from hpcml.slurm.job_ids import own_job, record_of_job, value_of_job

ARRAY = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}

# sbatch --array=0-1: the last element has the id of the array.
RECORDS = """JobId=7 ArrayJobId=7 ArrayTaskId=1 JobName=wrap JobState=RUNNING
JobId=8 ArrayJobId=7 ArrayTaskId=0 JobName=wrap JobState=CONFIGURING
"""
ROWS = "7_1|7|59:30\n7_0|8|1:00:00\n"
# sbatch -n1 : -n1
COMPONENTS = """JobId=5 HetJobId=5 HetJobOffset=0 JobName=wrap HetJobIdSet=5-6
JobId=6 HetJobId=5 HetJobOffset=1 JobName=wrap HetJobIdSet=5-6
"""


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"SLURM_JOB_ID": "7", **ARRAY}, "7_1"),
        ({"SLURM_JOB_ID": "8", **ARRAY, "SLURM_ARRAY_TASK_ID": "0"}, "8"),
        ({"SLURM_JOB_ID": "9", **ARRAY}, "9"),  # submitted from inside the array
        ({"SLURM_JOB_ID": "7"}, "7"),
        ({"SLURM_JOB_ID": "7", **ARRAY, "SLURM_ARRAY_TASK_ID": ""}, "7"),
        ({}, ""),
    ],
)
def test_an_element_with_the_id_of_its_array_is_named_by_its_index(environment, name):
    assert own_job(environment) == name


@pytest.mark.parametrize(("job", "name"), [("7", "7_1"), ("8", "8")])
def test_an_allocation_is_named_as_its_environment_is(job, name):
    found = detect({"SLURM_JOB_ID": job, "SLURM_JOB_NODELIST": "n1", "SLURM_TASKS_PER_NODE": "2", **ARRAY})
    assert (found.exact_id, found.job_id) == (name, int(job))


@pytest.mark.parametrize("job", ["7", "7_1"])
def test_the_record_of_an_element_is_none_of_the_others(job):
    assert record_of_job(RECORDS, job) == RECORDS.splitlines()[0]
    assert record_of_job(RECORDS, "8") == record_of_job(RECORDS, "7_0") == RECORDS.splitlines()[1]
    assert record_of_job(RECORDS, "70") == record_of_job("", job) == ""


def test_the_record_of_a_heterogeneous_job_has_all_components():
    assert record_of_job(COMPONENTS, "5").splitlines() == COMPONENTS.splitlines()
    assert record_of_job(COMPONENTS, "6").splitlines() == COMPONENTS.splitlines()


def test_the_name_of_a_job_is_not_taken_for_its_id():
    line = "JobId=8 JobName=JobId=7 JobState=RUNNING"
    assert record_of_job(line, "7") == ""


@pytest.mark.parametrize("job", ["7", "7_1"])
def test_the_row_of_an_element_is_none_of_the_others(job):
    assert value_of_job(ROWS, job) == "59:30"
    assert value_of_job(ROWS, "8") == value_of_job(ROWS, "7_0") == "1:00:00"
    assert value_of_job("7_0|8|1:00:00\n", job) == value_of_job("", job) == ""
    assert value_of_job("5+0|5|4:58\n5+1|6|4:57\n", "5") == "4:58"

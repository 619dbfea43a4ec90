"""Wait for nodes that are switched on, with commands that print what 24.11.5 has printed, line by line."""

import threading
import time

import pytest

from hpcml.errors import CommandError, EngineError
from hpcml.slurm import node_wait
from hpcml.slurm.node_wait import ask_record, late_nodes, wait_for_nodes
from hpcml.slurm.record_commands import job_details, node_states_query, partitions_record

# Each answer is given once, the last one again and again.
ANSWER = """#!/bin/sh
case "$*" in *config*) [ {timeout} = 0 ] && exit 1; echo "ResumeTimeout           = {timeout} sec"; exit;; esac
cd {place}
answer=$(head -n 1 {name})
if [ $(wc -l < {name}) -gt 1 ]; then sed -i 1d {name}; fi
case "$answer" in *error*) echo "$answer" >&2; exit 1;; esac
echo "$answer" | tr ';' '\n'
"""
NO_ANSWER = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
FORGOTTEN = "slurm_load_jobs error: Invalid job id specified"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Function that makes the commands, given states of the job and lines about nodes: their environment."""
    monkeypatch.setattr(node_wait, "PAUSES", (0.01,))

    def make(jobs, nodes, timeout=300):  # a timeout of 0: no answer about it
        for name, lines in (
            ("scontrol", [job if job[0] in "sJ" else f"JobId=7 JobState={job}" for job in jobs]),
            ("sinfo", nodes),
        ):
            (tmp_path / f"{name}.txt").write_text("\n".join(lines) + "\n")
            program = tmp_path / name
            program.write_text(ANSWER.format(place=tmp_path, name=f"{name}.txt", timeout=timeout))
            program.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin"}

    return make


def test_a_job_that_runs_is_not_waited_for(slurm, caplog):
    wait_for_nodes("7", ["n1", "n2"], slurm(["RUNNING"], []))
    assert caplog.records == []


def test_each_change_is_said_once(slurm, caplog):
    states = ["n2|allocated#|none", "n2|allocated#|none", "n2|mixed*|none", "n2|mixed|none"]
    environment = slurm(["CONFIGURING"] * 5 + ["RUNNING"], states)
    wait_for_nodes("7", ["n2"], environment)
    assert [record.getMessage() for record in caplog.records] == [
        "job 7 waits for its nodes, up to 360 s: n2 is powering up",
        "job 7 waits for its nodes, up to 360 s: n2 does not respond",
    ]


@pytest.mark.parametrize("end", ["NODE_FAIL", "PENDING"])  # it may go back to the queue
def test_a_job_that_loses_its_nodes_is_an_error_that_names_them(slurm, end):
    states = ["n2|allocated#|none", "n2|down~|ResumeTimeout reached"]
    with pytest.raises(EngineError, match=r"job 7 has lost its nodes .*: n2 is down \(ResumeTimeout reached\)$"):
        wait_for_nodes("7", ["n2"], slurm(["CONFIGURING", end], states))


def test_the_wait_is_bounded_by_the_caller(slurm):
    with pytest.raises(EngineError, match=r"not ready in 0 s: n2 is powering up$"):
        wait_for_nodes("7", ["n2"], slurm(["CONFIGURING"], ["n2|allocated#|none"]), timeout=0.05)


def test_the_wait_is_bounded_by_slurm_and_by_an_hour(slurm, monkeypatch, caplog):
    monkeypatch.setattr(node_wait, "LONGEST_SECONDS", 0.05)
    with pytest.raises(EngineError, match="not ready in 0 s"):
        wait_for_nodes("7", ["n2"], slurm(["CONFIGURING"], ["n2|allocated#|none"], timeout=9999))


def test_a_wait_that_is_not_wanted_any_longer_ends(slurm):
    unwanted = threading.Event()
    threading.Timer(0.1, unwanted.set).start()
    began = time.monotonic()
    wait_for_nodes("7", ["n2"], slurm(["CONFIGURING"], ["n2|allocated#|none"]), unwanted=unwanted)
    assert time.monotonic() < began + 30


@pytest.mark.parametrize("job", ["7", "7_1"])
def test_an_element_of_an_array_does_not_wait_for_another(slurm, job, caplog):
    lines = ("JobId=7 ArrayJobId=7 ArrayTaskId=1 JobState=RUNNING", "JobId=8 ArrayJobId=7 ArrayTaskId=0")
    environment = slurm([";".join(lines) + " JobState=CONFIGURING"], [])
    wait_for_nodes(job, ["n1"], environment, timeout=0)
    assert caplog.records == []
    with pytest.raises(EngineError, match="nodes of job 8 were not ready"):
        wait_for_nodes("8", ["n1"], environment, timeout=0)


def test_a_record_of_other_jobs_alone_is_an_error_that_shows_them(slurm):
    with pytest.raises(CommandError, match=r"shows no job 5: JobId=7 JobState=RUNNING"):
        ask_record("5", slurm(["RUNNING"], []))


def test_a_wait_goes_on_where_slurm_does_not_answer_for_a_while(slurm):
    jobs = ["CONFIGURING", *[NO_ANSWER] * 5, "CONFIGURING", *[NO_ANSWER] * 5, "RUNNING"]
    wait_for_nodes("7", ["n2"], slurm(jobs, ["n2|allocated#|none"], timeout=0))


def test_a_wait_without_any_answer_ends_and_says_what_was_seen(slurm):
    environment = slurm(["CONFIGURING", NO_ANSWER], ["n2|allocated#|none"])
    with pytest.raises(CommandError) as caught:
        wait_for_nodes("7", ["n2"], environment)
    text = str(caught.value)
    assert (
        "has not answered 10 questions in a row about job 7, which waits for its nodes (n2 is powering up)" in text
    )
    assert "Unable to contact slurm controller (connect failure)" in text


def test_a_job_that_slurm_has_forgotten_is_not_asked_for_again(slurm):
    with pytest.raises(CommandError, match="Invalid job id"):
        wait_for_nodes("7", ["n2"], slurm(["CONFIGURING", FORGOTTEN, "RUNNING"], ["n2|allocated#|none"]))


def test_without_slurm_nothing_is_known(tmp_path):
    with pytest.raises(CommandError):
        wait_for_nodes("7", ["n2"], {"PATH": str(tmp_path)})
    assert late_nodes(["n2"], {"PATH": str(tmp_path)}) == ""
    assert late_nodes([], {}) == ""


def test_the_commands_are_lists_of_words():
    assert job_details("7") == ["scontrol", "--oneliner", "--details", "show", "job", "7"]
    assert partitions_record() == ["scontrol", "--oneliner", "show", "partition"]
    assert node_states_query(["n1", "n2"])[-2:] == ["--nodes=n1,n2", "--format=%N|%T|%E"]

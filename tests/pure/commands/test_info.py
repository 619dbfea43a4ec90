"""The facts of `hpcml info`."""

import datetime
import json
import os

from hpcml.commands.info import describe
from hpcml.commands.main import main
from hpcml.slurm import queries
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.nodes import Node


def test_a_job_is_described_as_plain_data(monkeypatch):
    monkeypatch.setattr(queries, "end_time", lambda job: {"7": 1e9}[job])
    facts = describe(Allocation(7, (Node("n1", 4), Node("n2", 3)), "batch", array=(5, 2)), {})
    assert (facts["slurm"], facts["job"], facts["slots"]) == (True, "5_2", 7)
    assert facts["end_time"] == datetime.datetime.fromtimestamp(1e9).isoformat(" ", "seconds")
    assert [node["name"] for node in facts["nodes"]] == ["n1", "n2"]
    assert json.loads(json.dumps(facts))["nodes"][1]["slots"] == 3


def test_slurm_is_not_asked_for_an_end_that_a_variable_holds(monkeypatch):
    monkeypatch.delattr(queries, "end_time_query")
    assert describe(Allocation(7, (Node("n1", 4),), "batch", end_time=1e9), {})["end_time"] is not None


def test_this_computer_is_described_outside_slurm(monkeypatch, capsys):
    for name in ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_JOB_NODELIST"):
        monkeypatch.delenv(name, raising=False)
    facts = describe(None, os.environ)
    assert (facts["slurm"], facts["engine"]) == (False, "local")
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == facts
    assert main(["info"]) == 0
    assert f"slots   {facts['slots']}" in capsys.readouterr().out


def test_variables_that_contradict_each_other_are_an_error(monkeypatch, capsys):
    monkeypatch.setenv("SLURM_JOB_ID", "seven")
    assert main(["info"]) == 1
    assert "hpcml: The SLURM_* variables here do not describe one job" in capsys.readouterr().err

"""The command `hpcml doctor`, without Slurm, and its options for salloc."""

import json
import os
import sys

import pytest

from hpcml.commands.doctor.job import allocation_command
from hpcml.commands.doctor.slurm_facts import slurm_facts
from hpcml.commands.main import main

NO_JOB = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_JOB_NODELIST")


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A computer without Slurm's commands."""
    for name in NO_JOB:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_computer_without_slurm_is_examined(alone, capsys, tmp_path):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "there is none on this computer; a Cluster uses this computer's CPUs" in text
    assert text.splitlines()[-1].rpartition(" (")[0].endswith(" fine")
    assert list(tmp_path.iterdir()) == [], "nothing is left in the working directory"
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["will_fail"] is False


def test_variables_that_contradict_each_other_are_a_finding(alone, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "n[1-")
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)["findings"][0]
    assert (found["severity"], found["check"]) == ("will fail", "allocation")
    assert "n[1-" in "".join(found["seen"])
    assert found["type"].startswith("unset ${!SLURM_@} ")


def test_a_job_that_is_asked_for_without_salloc_is_an_error(alone, capsys):
    assert main(["doctor", "--nodes=2"]) == 1
    assert "no salloc runs on this computer" in capsys.readouterr().err


def test_a_job_that_is_asked_for_inside_a_job_is_an_error(alone, monkeypatch, capsys, tmp_path):
    (tmp_path / "salloc").write_text("#!/bin/sh\necho '  -N, --nodes=N  number of nodes'\n")
    (tmp_path / "salloc").chmod(0o755)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert main(["doctor", "-N2"]) == 1
    assert "this is job 7 already" in capsys.readouterr().err


def test_options_of_salloc_win_over_the_defaults():
    options = {"nodes": "2", "partition": "a b", "time": "1:00", "exclusive": None}
    command = allocation_command(options, ["--timeout", "9"])
    assert command[:4] == ["salloc", "--job-name=hpcml-doctor", "--immediate=300", "--kill-command=INT"]
    assert command[4:8] == ["--time=1:00", "--nodes=2", "--partition=a b", "--exclusive"]
    assert command[8:] == ["--", sys.executable, "-P", "-m", "hpcml", "doctor", "--timeout", "9"]


@pytest.mark.parametrize("seconds", ["0", "nan", "1e9", "soon"])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(alone, seconds, capsys):
    assert main(["doctor", "--timeout", seconds]) == 1
    assert f"--timeout {seconds} is no number of seconds" in capsys.readouterr().err


def test_words_that_are_no_options_are_refused(alone, capsys):
    assert main(["doctor", "n1"]) == 1
    assert "takes options alone, and n1 is none" in capsys.readouterr().err
    assert main(["doctor", "--jsn"]) == 1
    assert "no option --jsn: did you mean --json? `hpcml doctor --help`" in capsys.readouterr().err


def test_no_command_of_slurm_is_no_slurm(tmp_path):
    assert slurm_facts({"PATH": str(tmp_path)}, None) is None


def test_a_command_that_fails_or_is_missing_leaves_its_fact_out(tmp_path):
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\ntest $1 = --version && echo slurm 23.11.4 && exit 0\nexit 1\n")
    srun.chmod(0o755)
    facts = slurm_facts({**os.environ, "PATH": f"{tmp_path}:/bin"}, None)
    assert (facts.version, facts.mpi_types, facts.seconds_left) == ("slurm 23.11.4", (), None)

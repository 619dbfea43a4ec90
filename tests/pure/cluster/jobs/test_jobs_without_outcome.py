"""Jobs that end without an outcome, as a squeue shows them that stands before Slurm's own."""

import json
import os
import subprocess
import sys

import pytest
from patience import patient

JOB = ["7", "7", "{}", "None", "1:00", "0:0", "N/A", "1", "n1", "main", "/d", "/d/slurm-%j.out", "search"]
HELP = "  -t, --time=minutes  limit\\n  -J, --job-name=name  name\\n"
PROGRAM = """
import json, sys, time
from pathlib import Path
import hpcml

answer = Path("answer")
states = []
for text in Path("answers").read_text().split("\\n"):
    answer.write_text(Path("before").read_text())
    job = hpcml.submit(time.sleep, 600, time=30)
    states.append([job.id, job.state])
    answer.write_text(text)
    try:
        job.result(60)
    except hpcml.JobFailed as error:
        states[-1] += [error.state, error.reason, str(error)]
try:
    hpcml.Job(7).result(60)
except hpcml.JobFailed as error:
    states.append([error.state])
print(json.dumps(states))
"""


def listing(state):
    return "\x1f".join(word.format(state) for word in JOB) + "\x1f"


@pytest.fixture
def slurm(tmp_path):
    """Environment with a Slurm that takes each job as number 7, and shows what the file `answer` has."""
    programs = {
        "sbatch": f'case "$*" in --help) printf "{HELP}";; *) echo 7;; esac',
        "squeue": f"cat {tmp_path}/answer",
        "sinfo": "echo 'main*|up|infinite|1|4|4000|(null)|1-infinite'",
        "sacct": "echo no accounting >&2; exit 1",
    }
    for name, text in programs.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "hpcml.toml").write_text("query_seconds = 0.2\n")
    places = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    return {**os.environ, **places, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SLURM_CONF": "/etc/a"}


def test_the_reason_of_an_end_is_slurms(slurm, tmp_path):
    ends = ("TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "COMPLETED", "")
    (tmp_path / "answers").write_text("\n".join(listing(state) if state else "" for state in ends))
    (tmp_path / "before").write_text(listing("PENDING"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=slurm, cwd=tmp_path, capture_output=True, text=True,
        timeout=patient(60), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *found, attached = json.loads(done.stdout)
    assert [one[:2] for one in found] == [["7", "PENDING"]] * len(ends)
    assert [one[2] for one in found] == [*ends[:-1], "FORGOTTEN"]
    reasons = [one[3] for one in found]
    assert reasons[0] == "it reached its time limit: ask for more with --time"
    assert "more memory" in reasons[1]
    assert reasons[2:4] == ["a node failed", "its program has ended before the function"]
    assert "Slurm no longer knows how" in reasons[4]
    assert "job 7 has no result: TIMEOUT, it reached" in found[0][4]
    assert attached == ["FORGOTTEN"]

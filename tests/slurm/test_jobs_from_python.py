"""Functions as jobs, from a Python program on a login node outside any allocation."""

import json
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "programs" / "jobs_from_python.py"
# Slurm of a site that lets a user have few jobs in the queue.
SBATCH = """#!/bin/sh
case " $*" in
*--help*) ;;
*--array=0-[2-9][0-9]*)
    echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)" >&2
    exit 1 ;;
esac
exec {sbatch} "$@"
"""


@pytest.fixture
def driver(cluster):
    """Function that runs the program on the login node, with a home in which Slurm is asked once a second."""
    home = cluster.shared_dir / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "hpcml.toml").write_text("query_seconds = 1\n")

    def run(*words, **env):
        env = {"HOME": str(home), "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None, **env}
        done = cluster.run([cluster.python, str(PROGRAM), *words], env=env, timeout=120, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.release("22.05")
def test_jobs_end_as_slurm_has_them_and_continue_after_a_requeue(cluster, driver):
    found = driver("begin")
    kind, message, cause = found["failed"]
    assert (kind, message) == ("LookupError", "not here")
    assert "in fail" in cause
    assert found["left"] == ["FAILED", "its function has ended with sys.exit(3)"]
    assert found["waiting"] == found["cancelled"] == ["CANCELLED", "it was cancelled"]
    assert found["reason"] == "waiting for its begin time, or for a requeue to take effect"
    assert found["killed"] == ["FAILED", "its script was ended by SIGKILL"]
    assert found["within"] == [str(cluster.shared_dir), True, 1]
    later = driver("again", *found["ids"])
    assert later["results"] == [[sum(range(16)), 2], 40]
    assert sorted(map(int, later["tasks"])) == list(range(16))  # no task has run twice
    assert later["steps"] == [str(step) for step in range(1, 41)]


@pytest.mark.release("24.11")
def test_an_array_larger_than_slurm_takes_runs_each_call_once(cluster, driver):
    where = cluster.run(["sh", "-c", "command -v sbatch; echo $PATH"], check=True).stdout.split()
    sbatch = cluster.shared_dir / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(SBATCH.format(sbatch=where[0]))
    sbatch.chmod(0o755)
    found = driver("array", PATH=f"{sbatch.parent}:{where[1]}")
    message, results = found["first"]
    assert "call 7: ValueError(7)" in message
    assert "FAILED, its script was ended by SIGKILL" in message
    assert {7, 20}.isdisjoint(results)
    assert len(results) > 40
    assert found["second"] == [x / 2 for x in range(60)]
    assert found["second ran"] == found["first ran"] + 60 - len(results)
    assert found["data"] == [4 << 20]

"""Jobs on a computer without Slurm: processes with the same interface."""

import json
import os
import subprocess
import sys
import textwrap

import pytest
from patience import patient

BEGIN = """
import json, os, pickle, sys, time
from concurrent.futures import as_completed

import hpcml

offset = 100


def add(x, y):
    print("adding", flush=True)
    return x + y + offset


def fail():
    raise KeyError("no such key", open)


def sizes(values):
    with hpcml.Cluster() as cluster:
        return list(cluster.map(lambda x: x + 1, values)), os.getcwd(), os.environ["MARK"], sys.path[0]


def result_of(job):
    try:
        return job.result(120)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

"""


@pytest.fixture
def driver(tmp_path):
    """Function that runs a script in a directory of its own, where no program of Slurm's is found."""
    (tmp_path / "bin").mkdir()
    env = {**os.environ, "PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "MARK": "set"}

    def run(text, *words):
        (tmp_path / "driver.py").write_text(BEGIN + textwrap.dedent(text))
        command = [sys.executable, str(tmp_path / "driver.py"), *words]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=patient(60), check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_jobs_end_with_results_original_errors_or_reasons(driver, tmp_path):
    found = driver("""
        added, failed = hpcml.submit(add, 1, 2), hpcml.submit(fail)
        left, killed = hpcml.submit(sys.exit, 3), hpcml.submit(lambda: os.kill(os.getpid(), 9))
        inside, sleeping = hpcml.submit(sizes, [1, 2]), hpcml.submit(time.sleep, 600)
        assert added.running() and not added.done()
        sleeping.cancel()
        ended = list(as_completed([added, failed, left, killed, inside, sleeping], timeout=120))
        error = failed.exception()
        again = pickle.loads(pickle.dumps(added))
        print(json.dumps({
            "added": [result_of(added), result_of(again), result_of(hpcml.Job(added.id)), added.stdout()],
            "error": [type(error).__name__, error.args[0], str(error.__cause__)],
            "left": [result_of(left), left.state], "killed": [result_of(killed), killed.state, killed.reason],
            "inside": result_of(inside), "cancelled": [sleeping.cancelled(), sleeping.state, len(ended)],
            "modules": [name for name in ("submitit", "ipyparallel") if name in sys.modules],
        }))
    """)
    assert found["added"] == [103, 103, 103, "adding\n"]
    assert found["error"][:2] == ["KeyError", "no such key"]
    assert "in fail" in found["error"][2]
    assert found["left"] == ["JobFailed: the job has no result: its function has ended with sys.exit(3)", "FAILED"]
    assert found["killed"][1:] == ["FAILED", "its script was ended by SIGKILL"]
    assert found["inside"] == [[2, 3], str(tmp_path), "set", str(tmp_path)]
    assert found["cancelled"] == [True, "CANCELLED", 6]
    assert found["modules"] == []


def test_an_array_names_what_failed_and_runs_only_that_again(driver, tmp_path):
    text = """
        def halve(x, table):
            open("ran", "a").write(f"{x}\\n")
            if os.path.exists("broken") and x == 3:
                raise ValueError(x)
            if os.path.exists("broken") and x == 5:
                os.kill(os.getpid(), 9)
            return x / 2 + table[0]

        table = b"0" * (2 << 20)
        results = hpcml.map_array(halve, range(9), [table] * 9, parallel=1, calls_per_element=6, resume=True)
        got = []
        try:
            got.extend(results)
        except hpcml.ArrayFailed as error:
            got = [str(error), sorted(error.results), type(error.errors[3]).__name__]
        print(json.dumps([len(results), got]))
    """
    (tmp_path / "broken").touch()
    length, (message, results, kind) = driver(text)
    assert (length, kind) == (9, "ValueError")
    assert "call 3: ValueError(3)" in message
    assert "ended by SIGKILL" in message
    assert {0, 1, 2} <= set(results)
    assert not {3, 5} & set(results)
    before = (tmp_path / "ran").read_text().split()
    (tmp_path / "broken").unlink()
    assert driver(text) == [9, [x / 2 + 48 for x in range(9)]]
    again = (tmp_path / "ran").read_text().split()[len(before) :]
    assert sorted(map(int, again)) == sorted(set(range(9)) - set(results))
    data = list((tmp_path / ".hpcml" / "jobs" / "data").iterdir())
    assert [path.stat().st_size for path in data] == [2 << 20]


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        # Debian's packages 22.05.8 and 24.11.5, without a slurm.conf.
        ("_establish_config_source: failed to fetch config\nsbatch: fatal: "
         "Could not establish a configuration source", [103, 106]),
        ("Unable to contact slurm controller (connect failure)", "sbatch is there, but cannot be used"),
    ],
    ids=["no cluster", "a cluster that does not answer"],
)  # fmt: skip
def test_an_sbatch_of_no_cluster_is_no_slurm_and_one_that_does_not_answer_is_an_error(
    driver, tmp_path, says, expected
):
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.write_text(f"#!/bin/sh\necho 'sbatch: error: {says}' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    found = driver("""
        try:
            print(json.dumps(list(hpcml.map_array(add, [1, 2], [2, 4], time=5))))
        except hpcml.SubmissionError as error:
            print(json.dumps(str(error)))
    """)
    assert found == expected if isinstance(expected, list) else expected in found


def test_what_cannot_be_submitted_is_an_error_at_once(driver, tmp_path):
    found = driver("""
        import threading

        lock = threading.Lock()
        calls = {
            "unpicklable": lambda: hpcml.submit(lambda: lock),
            "argument": lambda: hpcml.map_array(add, [1], [lock]),
            "function": lambda: hpcml.submit(7),
            "parallel": lambda: hpcml.map_array(add, [1], [2], parallel=-1),
            "minutes": lambda: hpcml.map_array(add, [1], [2], minutes_per_element=0),
            "requeues": lambda: hpcml.submit(add, 1, 2, max_requeues=-1),
            "unknown": lambda: hpcml.Job("local-1"),
        }
        found = {}
        for name, call in calls.items():
            try:
                call()
            except hpcml.HpcmlError as error:
                found[name] = str(error)
        found["empty"] = list(hpcml.map_array(add, [], []))
        print(json.dumps(found))
    """)
    assert "global lock" in found["unpicklable"]
    assert "_thread.lock" in found["argument"]
    assert "the first argument is the function" in found["function"]
    assert "parallel=-1): it must be a whole number" in found["parallel"]
    assert "minutes_per_element=0" in found["minutes"]
    assert "max_requeues=-1" in found["requeues"]
    assert "was not submitted by hpcml.submit from here" in found["unknown"]
    assert found["empty"] == []
    assert [path.name for path in (tmp_path / ".hpcml" / "jobs").iterdir()] == ["data"]

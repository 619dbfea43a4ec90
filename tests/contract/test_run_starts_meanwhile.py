"""Under `hpcml run` the program starts at once; its first task waits for the workers, or names their failure."""

import os
import subprocess
import sys
import time

import pytest

PYTHON = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTHON"))}
SECONDS = 240
NEEDS = "from joblib import Parallel, delayed\nprint(Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(3)))\n"


def run(folder, script, *options, **variables):
    return subprocess.run(
        [sys.executable, "-m", "hpcml", "run", "--slots-per-node=2", *options, "-c", script],
        cwd=folder,
        env={**PYTHON, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.fixture
def broken(tmp_path):
    """Variables with which no launcher starts, on a node that is this computer."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, sys\nif any('hpcml.engines.ipyparallel' in word for word in sys.orig_argv):\n    os._exit(9)\n"
    )
    return {"PYTHONPATH": str(site)}


def test_the_program_runs_before_the_workers_are_there(tmp_path):
    """The program makes the file that the start of workers waits for, so that workers cannot start first."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, sys, time\n"
        "while 'hpcml.engines.ipyparallel.launcher' in ' '.join(sys.orig_argv) and not os.path.exists('begun'):\n"
        "    time.sleep(0.05)\n"
    )
    script = "open('begun', 'w').close(); import hpcml; print(hpcml.Cluster().slots)\n" + NEEDS
    done = run(tmp_path, script, "--engine=ipyparallel", "--timeout=120", PYTHONPATH="site")
    assert done.stdout == "2\n[0, 1, 2]\n", done.stderr
    assert "hpcml: engine ipyparallel, 2 slots" in done.stderr


def test_a_failed_start_ends_the_program_where_it_needs_workers(tmp_path, broken):
    script = "print('before', flush=True)\nopen('seen', 'w').close()\n" + NEEDS
    done = run(tmp_path, script, "--engine=ipyparallel", **broken)
    assert (done.stdout, done.returncode) == ("before\n", 1)
    assert done.stderr.startswith("hpcml: 0 of 2 workers came within")
    assert "Traceback" not in done.stderr
    assert "Cluster(timeout=" in done.stderr


def test_a_program_that_needs_no_workers_has_its_own_status(tmp_path, broken):
    script = "import sys, time, threading\n[t.join() for t in threading.enumerate() if t.name == 'hpcml-start']\n"
    done = run(tmp_path, script + "print('done'); sys.exit(7)", "--engine=ipyparallel", **broken)
    assert (done.stdout, done.returncode) == ("done\n", 7)
    assert done.stderr.startswith("hpcml: 0 of 2 workers came within")


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_an_end_before_the_workers_are_there_leaves_no_process(engine, tmp_path):
    done = run(tmp_path, "print('nothing to do')", f"--engine={engine}", "--quiet")
    assert (done.stdout, done.stderr, done.returncode) == ("nothing to do\n", "", 0)
    end = time.monotonic() + SECONDS
    while left := [pid for pid in filter(str.isdigit, os.listdir("/proc")) if works_in(pid, tmp_path)]:
        assert time.monotonic() < end, left  # loky's tracker of resources ends after its driver
        time.sleep(0.1)


def works_in(pid, folder):
    try:
        return os.readlink(f"/proc/{pid}/cwd") == str(folder)
    except OSError:
        return False

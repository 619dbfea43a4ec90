"""Main job, and the contract tests, on a real allocation."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from patience import patient

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"


def test_the_sbatch_script_runs_the_demo_on_all_nodes(cluster):
    """A grid of 4 by 4 with 3 folds, and 8 clusterings, in a directory with an environment and the tutorials."""
    for name, target in ((".venv", sys.prefix), ("tutorials", ROOT / "tutorials")):
        (cluster.shared_dir / name).symlink_to(target)
    job = cluster.sbatch(ROOT / "sbatch/sklearn_search.sbatch", cwd=cluster.shared_dir, args=["--quick"])
    end = cluster.wait(job, timeout=120)
    assert end.state == "COMPLETED", end.output
    found = json.loads((cluster.shared_dir / "results/01.json").read_text())
    assert {worker.rpartition("-")[0] for worker in found["workers"]} == {"n1", "n2", "n3"}
    assert (found["slots"], len(found["workers"])) == (12, 12)
    assert len(found["mean_scores"]) == 16
    assert "48 of 48 tasks done (100 %)" in end.output
    assert "hpcml: 56 tasks on 12 slots of 3 hosts in" in end.output
    assert (cluster.shared_dir / "results/01.png").read_bytes().startswith(b"\x89PNG")


def test_the_sbatch_script_is_short_and_never_sleeps():
    text = (ROOT / "sbatch/sklearn_search.sbatch").read_text()
    assert len(text.splitlines()) <= 10
    assert "sleep" not in text


@pytest.mark.release("24.11")
def test_an_unmodified_search_equals_one_process(cluster, tmp_path):
    job = cluster.sbatch(
        f"#!/bin/bash\nexec {cluster.python} -m hpcml run {PROGRAMS / 'search.py'} {cluster.shared_dir}/cluster",
        "-N3",
        "-n7",
    )
    subprocess.run([cluster.python, PROGRAMS / "search.py", tmp_path / "alone"], check=True, timeout=patient(100))
    end = cluster.wait(job, timeout=100)
    assert end.state == "COMPLETED", end.output
    assert "36 of 36 tasks done" in end.output
    alone = pickle.loads((tmp_path / "alone").read_bytes())
    together = pickle.loads((cluster.shared_dir / "cluster").read_bytes())
    assert alone.keys() == together.keys()
    for column in alone:
        if "time" not in column:
            assert np.array_equal(np.asarray(alone[column]), np.asarray(together[column])), column


@pytest.mark.release("22.05")
@pytest.mark.timeout(patient(300))
def test_the_contract_holds_on_an_allocation(cluster):
    """The contract's files that use a Cluster most; others have tests of their own on nodes, or need no nodes."""
    command = [cluster.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ipyparallel"]
    names = ("test_cluster", "test_joblib", "test_prints")
    files = [f"tests/contract/{name}.py" for name in names]
    done = cluster.run(
        ["salloc", "--quiet", "-N3", "-n5", *command, f"--basetemp={cluster.shared_dir}/tmp", *files],
        cwd=ROOT,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout

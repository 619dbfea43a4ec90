"""The school's exercises, written for ipyparallel, in one job on three nodes."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

SCHOOL = Path(__file__).parent / "programs" / "school"
JOB = """#!/bin/bash -e
cd {directory}
for kind in supervised unsupervised; do
    {python} -m hpcml run --quiet {school}/$kind.py -p job_$SLURM_JOB_ID $kind
done
"""


@pytest.mark.release("24.11")
def test_the_schools_exercises_on_three_nodes(cluster, monkeypatch):
    monkeypatch.syspath_prepend(SCHOOL)
    import school_models

    script = JOB.format(directory=cluster.shared_dir, python=cluster.python, school=SCHOOL)
    job = cluster.sbatch(script, "-N3", "-n5")
    search = school_models.search().cv_results_
    with threadpool_limits(1):
        clustering = [school_models.cluster(school_models.make_points(), k)[:2] for k in range(2, 14)]
    end = cluster.wait(job, timeout=120)
    assert end.state == "COMPLETED", end.output
    found = pickle.loads((cluster.shared_dir / "supervised").read_bytes())
    for column in search:
        if "time" not in column:
            assert np.array_equal(np.asarray(found[column]), np.asarray(search[column])), column
    joblib, view, slots = pickle.loads((cluster.shared_dir / "unsupervised").read_bytes())
    assert slots == 5
    for results in (joblib, view):  # sums of floats depend on the number of threads
        expected = [(k, pytest.approx(inertia, rel=1e-9)) for k, inertia in clustering[: len(results)]]
        assert [result[:2] for result in results] == expected
    assert {node for *_, node in joblib} == {"n1", "n2", "n3"}

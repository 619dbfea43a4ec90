"""The school's original programs, and what they find in one process."""

import csv
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

ORIGINAL = Path(__file__).parents[1] / "tutorials" / "original"
SCOOP = [sys.executable, "-W", "ignore:SCOOP was not started"]  # where SCOOP has Python's own map


def _models():
    sys.path.insert(0, str(ORIGINAL))
    try:
        import school_models
    finally:
        sys.path.remove(str(ORIGINAL))
    return school_models


def assert_scores_of_one_process(directory):
    """Check the scores that ``digits.py --quick`` has written, to the last bit; return the accuracy."""
    search, accuracy = _models().search(quick=True)
    alone = {name: column for name, column in search.cv_results_.items() if "time" not in name}
    with (directory / "scores_rbf_digits.csv").open() as file:
        found = list(csv.DictReader(file))
    assert found[0].keys() == alone.keys() - {"params"}
    for column in found[0]:
        assert [float(row[column]) for row in found] == alone[column].tolist(), column
    assert (directory / "validation.png").stat().st_size > 10_000
    return accuracy


def assert_clusters_of_one_process(directory):
    """Check what ``kmeans.py --quick`` has written; return the nodes that have computed."""
    models = _models()
    points = models.make_points(quick=True)
    with (directory / "scores_kmeans.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert [int(row[0]) for row in rows] == list(range(2, 14))
    with threadpool_limits(1):  # sums of floats depend on the number of threads
        for k, inertia, silhouette, _ in rows:
            _, alone, labels, _ = models.cluster(points, int(k), quick=True)
            expected = (alone, models.silhouette(points, labels))
            assert (float(inertia), float(silhouette)) == pytest.approx(expected, rel=1e-9)
    assert (directory / "elbow.png").stat().st_size > 10_000
    return {node for *_, node in rows}

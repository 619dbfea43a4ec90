"""State that tasks share with the driver, on several nodes: written files, callbacks, data that is removed."""

import json
from pathlib import Path

import pytest

pytestmark = [pytest.mark.release("24.11"), pytest.mark.timeout(400)]

PROGRAM = Path(__file__).parent / "programs" / "shared.py"


def test_maps_callbacks_and_removed_data_work_on_nodes(cluster):
    done = cluster.call(
        ["salloc", "-Q", "-N3", "--ntasks-per-node=4", cluster.python, PROGRAM, cluster.shared_dir], timeout=300
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["hosts"] == ["n1", "n2", "n3"]
    assert report["written"] == [float(n + 1) for n in range(48)]
    assert report["local"]
    assert all(one.startswith("DataError: /tmp/local.dat is not on n") for one in report["local"])
    assert all("mode='r'" in one for one in report["local"])
    assert report["sums"] == [300_000.0, 600_000.0]
    assert report["equal"]

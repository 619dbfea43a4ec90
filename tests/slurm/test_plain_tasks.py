"""Tasks on the nodes of a job run in plain processes, as on one computer."""

import json
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs" / "plain_tasks.py"


def test_tasks_on_three_nodes_see_plain_processes(cluster):
    script = f"#!/bin/bash\nexec {cluster.python} -m hpcml run --quiet {PROGRAM}"
    job = cluster.sbatch(script, "-N3", "--ntasks-per-node=2", cwd=cluster.shared_dir)
    end = cluster.wait(job, timeout=150)
    assert end.state == "COMPLETED", end.output
    lines = end.output.splitlines()
    found = json.loads(next(line for line in lines if line.startswith("{")))
    numbers = list(range(24))
    assert found["speak"] == [0] * 24
    prints = [line.partition("] ") for line in lines if line.startswith("[n")]
    assert len({slot for slot, _, what in prints if what.startswith("python")}) == 6
    for number in numbers:
        for what in ("python", "error", "child"):
            assert [words for *_, words in prints].count(f"{what} {number}") == 1
    assert found["around"] == [[f"{cluster.shared_dir}/results", "0.5", "1", 0o027]]
    assert found["loop"] == [2 * number for number in numbers]
    assert found["terminate"] == [-15] * 24
    assert found["pool"] == ["too long"] * 24
    assert found["notebook"] == [["agg", None, False, None]] * 24
    assert found["died"] == ["WorkerDied", True]
    # The death of a worker with several tasks at once counts for none of them; then 5 runs alone.
    assert [words for *_, words in prints].count("last words of 5") in (3, 4)
    assert found["queue"] == numbers
    (note,) = found["unix"]
    assert "is out of reach of n" in note
    assert "SyncManager(address=" in note

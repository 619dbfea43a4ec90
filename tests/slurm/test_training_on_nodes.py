"""Data-parallel training on three uneven nodes: a lost rank, and checkpoints that all nodes share."""

import json
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "programs" / "training.py"
SLOTS = (3, 1, 2)
RANKS = sum(SLOTS)


@pytest.mark.release("24.11")
def test_a_training_goes_on_after_the_loss_of_a_rank_and_on_fewer_nodes(make_cluster):
    cluster = make_cluster(cpus=SLOTS)

    def run(size, *words):
        command = ["salloc", "--quiet", *size, cluster.python, PROGRAM, *words]
        done = cluster.run(command, timeout=120, check=True, cwd=cluster.shared_dir)
        return json.loads(done.stdout.splitlines()[-1]), done.stderr

    (whole, lost, again, other), _ = run(("-N3", f"-n{RANKS}"), "whole", "lost:7", "lost", "fewer:10")
    assert len({bits for bits, _, _ in whole}) == 1
    assert {size for _, _, size in whole} == {RANKS}
    assert all(" ended: " in text for text in (lost, other))  # a rank that MPI ends then may be seen first
    assert again == whole
    (fewer,), errors = run(("-N2", "-n4", "--nodelist=n[1-2]"), "fewer")
    assert {size for _, _, size in fewer} == {4}
    assert fewer[0][1] == pytest.approx(whole[0][1], rel=0.05)
    assert f"ranks: {RANKS} then, 4 now" in errors

"""Data-parallel training and checkpoints on ranks of MPI: equal to one rank, and to the bit after a resume."""

import importlib.util
import itertools
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient

PROGRAM = Path(__file__).parent / "helpers" / "training_on_ranks.py"
STEPS = 16

pytestmark = pytest.mark.skipif(
    shutil.which("mpiexec") is None or importlib.util.find_spec("mpi4py") is None,
    reason="there is no mpiexec, or no mpi4py",
)


def mpiexec(directory, name, ranks=3):
    words = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks)]
    words += [sys.executable, "-m", "mpi4py", PROGRAM, name]
    return subprocess.run(
        list(map(str, [*words, directory])), capture_output=True, text=True, timeout=patient(60), check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def output_of(directory, name, ranks=3):
    done = mpiexec(directory, name, ranks)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_means_over_ranks_equal_those_over_all_rows(tmp_path):
    found = output_of(tmp_path, "gradients")
    errors = found["errors"]
    assert len(errors) == 6
    assert max(error for name, error in errors.items() if "64" in name) < 1e-12
    assert max(error for name, error in errors.items() if "32" in name) < 1e-6
    assert found["speeds"] == [90, 60, 30]
    for shares in (found["equal"], found["by_speed"]):
        rows = [row for rank in shares for batch in rank for row in batch]
        assert sorted(rows) == list(range(430)), "each row is in one share"
    sizes = list(zip(*([len(batch) for batch in rank] for rank in found["equal"]), strict=True))
    assert [sum(of_step) for of_step in sizes] == [100] * 4 + [30]
    assert all(max(of_step) - min(of_step) <= 1 for of_step in sizes)
    assert [[len(batch) for batch in rank] for rank in found["by_speed"]] == [
        [50] * 4 + [15], [33] * 4 + [10], [17] * 4 + [5],
    ]  # fmt: skip


@pytest.mark.parametrize("ranks", [2, 4])
def test_sums_have_the_same_bits_on_all_ranks_and_each_time(ranks, tmp_path):
    found = output_of(tmp_path, "sums", ranks)
    assert found["kinds"] == [1] * 6
    assert found["types"] == ["float16", "float", "float", "float32", "float64"]


def test_a_resumed_training_has_the_same_bits_and_goes_on_with_fewer_ranks(tmp_path):
    found = output_of(tmp_path, "resumed")
    assert found["equal"] == [[True] * 3] * 3
    assert found["same_on_all"] == 1
    assert sum(found["counts"]) == 3 * 430 + 100
    half, fewer, alone = found["losses"]
    assert fewer == pytest.approx(alone, rel=1e-12)
    assert half > 1.2 * alone


def test_a_rank_that_is_killed_costs_the_steps_since_the_last_save(tmp_path):
    steps = sorted(random.sample(range(2, STEPS), 2))
    kills = [f"{step}{kind}" for step, kind in zip(steps, itertools.cycle(["", "s"]))]
    (tmp_path / "kills").write_text("\n".join(kills))
    for _ in kills:
        assert mpiexec(tmp_path, "killed").returncode != 0, kills
    last = output_of(tmp_path, "killed")
    shutil.rmtree(tmp_path / "killed")
    assert last == output_of(tmp_path, "killed"), kills


def test_estimators_with_shares_equal_one_with_whole_batches(tmp_path):
    found = output_of(tmp_path, "estimators")
    assert found["error"] < 1e-12
    assert found["sparse"] < 1e-12
    assert "Counts has none of coef_" in found["text"]
    assert "SGDRegressor(average=True)" in found["text"]


def test_all_ranks_get_the_arrays_of_rank_0_in_any_order(tmp_path):
    whole = [[0, 1, 2], [3, 4, 5]]
    first = {"c": whole, "f": whole, "t": [[0, 3], [1, 4], [2, 5]], "step": [[0, 2], [3, 5]], "one": 0}
    assert output_of(tmp_path, "copies") == [first] * 3


def test_ranks_that_would_train_alone_by_mistake_are_an_error(tmp_path):
    code = "from hpcml.training import DataParallel; DataParallel()"
    for words in (["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "2"], ["env", "WORLD_SIZE=2"]):
        done = subprocess.run([*words, sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "give comm=MPI.COMM_WORLD" in done.stderr
        assert "init_process_group() before" in done.stderr


@pytest.mark.parametrize("ranks", [2, 3])
def test_models_that_are_divided_equal_the_whole_one(ranks, tmp_path):
    assert output_of(tmp_path, "divided", ranks) < 1e-12


def test_a_mistake_of_one_rank_is_raised_on_all(tmp_path):
    found = output_of(tmp_path, "mistakes")
    first, middle, last = found["found"]
    assert first[0] == middle[0] == last[0]
    assert "the values of rank 2 have other keys, shapes or types" in first[0]
    assert "the samples of the ranks are [0, 0, 0]" in first[1]
    assert all("give comm=MPI.COMM_WORLD" in one[2] for one in found["found"])
    assert "rank_state['state']['x'] is object" in last[3]
    assert first[3] == f"HpcmlError: rank 2 of 3 failed: {last[3]}"
    assert first[4] == middle[4] == last[4] == ""
    assert (found["names"], found["step"]) == (["of-0", "of-1", "of-2"], 1)
    assert all("no checkpoints in /proc/none" in one[5] for one in found["found"])
    assert all("speeds=[1, 2]: give one for each of 3 ranks" in one[6] for one in found["found"])

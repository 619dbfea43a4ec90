"""A Cluster on ranks of MPI that the user has started, and `hpcml run` under mpirun."""

import importlib.util
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from deap import algorithms, base, creator, tools
from evolution import count_ones, make_creator
from patience import patient, promised, wait_until

PROGRAM = Path(__file__).parent / "helpers" / "on_ranks.py"
SCRIPT = """
import os, sys
from joblib import Parallel, delayed

def where(number):
    return number**2, os.environ["OMPI_COMM_WORLD_RANK"]

print("the script", flush=True)
found = Parallel(n_jobs=-1)(delayed(where)(number) for number in range(20))
assert [square for square, _ in found] == [number**2 for number in range(20)]
print(sorted({rank for _, rank in found}), flush=True)
sys.exit(int(sys.argv[1]))
"""

pytestmark = pytest.mark.skipif(
    shutil.which("mpiexec") is None or importlib.util.find_spec("mpi4py") is None,
    reason="there is no mpiexec, or no mpi4py",
)


def mpiexec(directory, *words, ranks=3):
    command = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks), sys.executable, *words]
    return subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=patient(60), check=False,
        stdin=subprocess.DEVNULL, cwd=directory,
    )  # fmt: skip


def output_of(directory, name, **options):
    """Return what a program prints as JSON, once, on one of its ranks."""
    done = mpiexec(directory, PROGRAM, name, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def evolution_in_this_process():
    make_creator()
    random.seed(3)
    toolbox = base.Toolbox()
    toolbox.register("evaluate", count_ones)
    toolbox.register("mate", tools.cxTwoPoint)
    toolbox.register("mutate", tools.mutFlipBit, indpb=0.1)
    toolbox.register("select", tools.selTournament, tournsize=3)
    population = [creator.Bits(random.choices((0, 1), k=20)) for _ in range(12)]
    stats = tools.Statistics(lambda one: one.fitness.values)
    stats.register("all", list)
    _, logbook = algorithms.eaSimple(population, toolbox, 0.5, 0.2, 4, stats, verbose=False)
    return logbook.select("all")


@pytest.mark.parametrize("name", ["results", "results_on_several_hosts"])
def test_results_equal_those_of_one_process(tmp_path, name):
    found = output_of(tmp_path, name, ranks=4)
    assert found["slots"] == 3
    assert len(found["hosts"]) == (1 if name == "results" else 3)
    cubes, ranks = zip(*found["map"], strict=True)
    assert list(cubes) == [number**3 for number in range(60)]
    assert set(ranks) == {1, 2, 3}
    assert found["joblib"] == [list(divmod(number, 7)) for number in range(20)]
    assert found["evolution"] == [[list(one) for one in row] for row in evolution_in_this_process()]
    assert found["sums"] == [399_999 * 200_000, 2 * 399_999 * 200_000]
    assert found["comm"]
    assert found["large"] == 2_000_000


def test_without_a_block_the_other_ranks_end_at_their_first_use(tmp_path):
    assert output_of(tmp_path, "without_a_block") == [1, 1, 4]


def test_an_exception_and_an_exit_in_a_task_are_outcomes(tmp_path):
    assert output_of(tmp_path, "errors") == ["ZeroDivisionError('division by zero')", "SystemExit(7)", "0.25"]


@pytest.mark.parametrize(
    ("how", "status"),
    [("ends", 0), ("raises", 1), ("exits", 3), ("busy, raises", 1), ("busy, exits", 3)],
)
def test_the_end_of_the_script_is_the_end_of_all_ranks(tmp_path, how, status):
    """The status is the script's, also while tasks of a minute run; no process and no file is left."""
    began = time.monotonic()
    done = mpiexec(tmp_path, PROGRAM, "end_in_block", how)
    assert done.returncode == status, done.stderr
    assert time.monotonic() - began < promised(15)
    assert ("LookupError: of the script" in done.stderr) == (status == 1)
    (run,) = done.stdout.split()
    assert not list(Path("/dev/shm").glob(f"hpcml-{run}*"))
    wait_until(lambda: not processes_in(tmp_path), 5, lambda: processes_in(tmp_path))


def test_the_death_of_a_rank_is_the_end_of_all(tmp_path):
    began = time.monotonic()
    done = mpiexec(tmp_path, PROGRAM, "killed")
    assert done.returncode not in (0, None)
    assert time.monotonic() - began < promised(15)
    run = done.stdout.split()[0]
    shared = Path("/dev/shm")
    wait_until(lambda: not list(shared.glob(f"hpcml-{run}*")), 10, lambda: list(shared.iterdir()))
    wait_until(lambda: not processes_in(tmp_path), 10, lambda: processes_in(tmp_path))


def processes_in(directory):
    """Return the processes with this working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(directory):
                found.append(process.name)
        except OSError:
            continue
    return found


def test_the_error_of_the_first_rank_that_cannot_open_a_cluster_is_that_of_all(tmp_path):
    began = time.monotonic()
    done = mpiexec(tmp_path, PROGRAM, "cannot_open")
    assert done.returncode == 1
    assert time.monotonic() - began < promised(15)
    assert done.stderr.count("Traceback") == 2  # an error, and its cause
    assert "on_ranks.py" in done.stderr


def test_messages_of_the_user_arrive_before_during_and_after(tmp_path):
    expected = [3, [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2], 5, 6]
    assert output_of(tmp_path, "own_messages") == expected


def test_ranks_that_were_seeded_alike_draw_other_numbers_in_tasks_and_the_same_after(tmp_path):
    drawn, after = output_of(tmp_path, "random_numbers")
    assert len({pid for _, _, pid in drawn}) == 2
    assert len({number for number, _, _ in drawn}) == len({number for _, number, _ in drawn}) == 8
    random.seed(1)
    assert after == [random.random()] * 3


def test_without_mpirun_the_workers_are_processes_of_this_computer(tmp_path):
    command = [sys.executable, PROGRAM, "without_a_block"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=patient(60), check=True, cwd=tmp_path)
    assert json.loads(done.stdout) == [1, 1, 4]


@pytest.mark.parametrize(("ranks", "workers"), [(1, "['0']"), (3, "['1', '2']")])
def test_run_knows_that_it_is_a_rank(tmp_path, ranks, workers):
    """The script runs once, on rank 0, and the status of mpirun is that of the script."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for status in (0, 3):
        done = mpiexec(tmp_path, "-m", "hpcml", "run", "--quiet", script, status, ranks=ranks)
        assert done.returncode == status, done.stderr
        assert done.stdout.splitlines() == ["the script", workers]
    assert "Traceback" not in done.stderr


def test_a_cluster_on_the_ranks_joins_that_of_run(tmp_path):
    done = mpiexec(tmp_path, "-m", "hpcml", "run", "--quiet", PROGRAM, "errors")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["ZeroDivisionError('division by zero')", "SystemExit(7)", "0.25"]


def test_run_with_several_ranks_refuses_another_engine(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    done = mpiexec(tmp_path, "-m", "hpcml", "run", "--engine", "local", "script.py", 0)
    assert done.returncode == 1
    assert "mpirun has started `hpcml run` 3 times, and engine 'local' starts its own workers" in done.stderr
    assert "the script" not in done.stdout

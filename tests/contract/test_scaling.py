"""``hpcml scaling`` on this computer: a planted serial fraction is found, and a study that was cut goes on."""

import csv
import subprocess
import sys

import pytest
from patience import patient

from hpcml.commands.scaling.fits import fit_amdahl

PLANTED = """
import sys, time
from joblib import Parallel, delayed
time.sleep(1.0)
Parallel(n_jobs=-1, batch_size=1)(delayed(time.sleep)(0.25) for _ in range(16))
print("quality", 0.5)
"""
PERFECT = {1: 5.0, 2: 3.0, 4: 2.0, 8: 1.5}  # seconds
WEAK = "import sys, time, hpcml\nlist(hpcml.Cluster().map(time.sleep, [0.3] * int(sys.argv[1])))"
ALONE = "print('no task')"
RANKS = """
import os
size = int(os.environ["WORLD_SIZE"])
if os.environ["RANK"] == "0":
    print(f"epoch {2 / size} s" * (size < 3))
"""


@pytest.fixture
def scaling(tmp_path):
    """Function that runs ``hpcml scaling`` on the text of a script."""

    def run(script, *words, status=0):
        (tmp_path / "script.py").write_text(script)
        command = [sys.executable, "-m", "hpcml", "scaling", *words]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=patient(150), check=False
        )
        assert done.returncode == status, done.stderr
        return done

    return run


def rows(tmp_path):
    with (tmp_path / "scaling-script/scaling.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_planted_serial_fraction_is_found_and_known_runs_are_not_made_again(scaling, tmp_path):
    first = scaling(PLANTED, "--slots", "1,2,4", "--repeat", "1", "script.py")
    assert first.stderr.count("slots, run 1") == 3
    words = ("--slots", "1,2,4,8", "--repeat", "1", "--quality", "quality (.*)", "script.py")
    done = scaling(PLANTED, *words)
    assert "3 runs of this study are in" in done.stderr
    assert done.stderr.count(", run 1:") == done.stderr.count("hpcml: 8 slots, run 1:") == 1
    found = rows(tmp_path)
    assert [row["slots"] for row in found] == ["1", "2", "4", "8"]
    assert found[-1]["quality"] == "0.5"
    seconds = {int(row["slots"]): [float(row["seconds"])] for row in found}
    # Other work on this computer makes the runs longer; the precision of the fits is a test of the pure ring.
    assert all(ideal <= seconds[slots][0] < patient(2 * ideal) for slots, ideal in PERFECT.items())
    assert f"serial fraction {fit_amdahl(seconds).serial:.3f}." in done.stdout
    assert (tmp_path / "scaling-script/scaling.png").stat().st_size > 10_000


def test_work_that_grows_with_the_slots_is_a_weak_study(scaling, tmp_path):
    done = scaling(WEAK, "--slots", "2,3", "--repeat", "2", "script.py", "{slots}")
    assert "scaled speed-up" in done.stdout
    two, three = rows(tmp_path)
    assert (two["repeats"], three["repeats"]) == ("2", "2")
    assert float(three["seconds"]) < 2 * 0.9 * float(two["seconds"]), "as long as with a third of the work"


def test_a_script_that_uses_no_slots_and_one_that_fails_are_named(scaling):
    assert "has run no task on the Cluster" in scaling(ALONE, "--slots", "2", "script.py", status=1).stderr
    failed = scaling("1 / 0", "--slots", "2", "--directory", "other", "script.py", status=1).stderr
    assert "exit status 1" in failed
    assert "ZeroDivisionError" in failed
    changed = scaling("1 / 0", "--slots", "2", "--directory", "other", "script.py", "argument", status=1).stderr
    assert "has the study of another command" in changed


def test_ranks_of_engine_torch_are_studied_by_a_time_that_they_print(scaling, tmp_path):
    words = ("--engine", "torch", "--repeat", "1", "--seconds", "epoch (.*) s")
    scaling(RANKS, *words, "--slots", "1,2", "script.py")
    assert [(row["slots"], row["seconds"], row["speedup"]) for row in rows(tmp_path)] == [
        ("1", "2.0", "1.0"),
        ("2", "1.0", "2.0"),
    ]
    failed = scaling(RANKS, *words, "--slots", "3", "--directory", "other", "script.py", status=1)
    assert "script.py on 3 slots has printed no number above 0 where --seconds 'epoch (.*) s'" in failed.stderr
    others = scaling(RANKS, "--engine", "torch", "--slots", "1,2", "script.py", status=1)
    assert "has the study of another command" in others.stderr

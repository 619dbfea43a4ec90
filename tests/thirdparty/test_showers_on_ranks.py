"""The example of tutorials/showers with torch, on ranks; and the pages of the book whose programs need torch."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import book
import pytest
from patience import patient

pytest.importorskip("torch", reason="torch is not installed: make test-torch")

FOLDER = Path(__file__).parents[2] / "tutorials" / "showers"
RUN_SECONDS = 120
PAGES = [page for page in book.pages() if page.needs_torch]


def run(ranks, *words, cwd):
    """Run a program of the example on ranks of this computer; return what it has printed."""
    program, *arguments = words
    command = [sys.executable, "-m", "hpcml", "run", "--engine", "torch", f"--slots-per-node={ranks}"]
    done = subprocess.run(
        [*command, FOLDER / program, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=patient(RUN_SECONDS),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows(directory):
    """Return the rows of the table, by loop and ranks."""
    found = (json.loads(path.read_text()) for path in directory.glob("results/*.json"))
    return {(row["loop"], row["ranks"]): row for row in found}


def test_both_loops_train_the_same_network_and_more_ranks_one_as_good(tmp_path):
    for ranks, loop in ((2, "built-in"), (2, "own"), (3, "own")):
        printed = run(ranks, "gan.py", "--quick", "--loop", loop, cwd=tmp_path)
        assert re.search(r"time per epoch [\d.]+ s, quality [\d.]+\n", printed)
    found = rows(tmp_path)
    built_in, own, three = found["built-in", 2], found["own", 2], found["own", 3]
    assert built_in["quality"] == pytest.approx(own["quality"], rel=1e-2), "the same steps, but for rounding"
    assert max(own["quality"], three["quality"]) < 1.5, "7 at the start"
    assert 0 < own["lines"] < 31


def test_an_early_stop_frees_the_ranks_of_a_trial(tmp_path):
    run(4, "search.py", "--epochs", "2", "--trials", "5", cwd=tmp_path)
    found = json.loads((tmp_path / "search.json").read_text())
    assert sorted(row["trial"] for row in found) == list(range(5)), "each trial ran once"
    assert {row["ranks"] for row in found} <= {"0-1", "2-3"}
    assert {row["epochs"] for row in found if row["end"] == "stopped"} == {1}
    assert any(row["end"] == "complete" for row in found)
    for ranks in ("0-1", "2-3"):
        mine = sorted((row for row in found if row["ranks"] == ranks), key=lambda row: row["trial"])
        for one, following in itertools.pairwise(mine):
            assert 0 <= following["from (s)"] - one["to (s)"] < patient(1), "the ranks were free at once"


def test_no_page_needs_slurm_and_torch():
    assert [page.name for page in PAGES if page.needs_slurm] == [], "no test has both"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_blocks_of_a_page_run(page, tmp_path):
    book.read_through(page, tmp_path, book.reader(tmp_path, patient(RUN_SECONDS)))

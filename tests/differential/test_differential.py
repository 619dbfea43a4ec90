"""Programs give the same with hpcml as each of their calls alone; see `compare` for the comparison.

``HPCML_PROGRAMS=5000 pytest tests/differential`` runs so many, in batches with other seeds; a counterexample is
shrunk, and its source is printed. The programs of a batch are the same each time.
"""

import os

import pytest
from batches import check
from generator import Program, programs
from hypothesis import HealthCheck, Phase, given, seed, settings
from programs import opened

BATCH = 50
PROGRAMS = int(os.environ.get("HPCML_PROGRAMS", BATCH))
SERIAL = PROGRAMS // 5  # of these, plain Python and loky must give what is expected too
FEW = {"environment", "environment removed", "folder", "relative file", "umask"}
STRANGE = {"of an own form", "group of strange", "returned strange error", "slots"}
NOT_LOKY = FEW | STRANGE | {"object of a changed class", "static method"}
"""Pieces in which loky differs from plain Python: the state of the script's process does not reach its workers;
exceptions that are made with other arguments, and classes with slots, do not come back; a result gives a class of
the script the attributes that the class has on the worker."""

SETTINGS = settings(
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)

pytestmark = pytest.mark.timeout(1800)


@pytest.mark.parametrize("batch", range(-(-PROGRAMS // BATCH)))
def test_programs_give_the_same_as_each_call_alone(batch, tmp_path):
    with opened(["isolated", "local", "ipyparallel", "resumed"], tmp_path) as drivers:

        @seed(batch)
        @settings(SETTINGS, max_examples=BATCH)
        @given(programs())
        def run(program: Program) -> None:
            check(drivers, program)

        run()


@pytest.mark.parametrize("batch", range(-(-SERIAL // BATCH)))
def test_python_and_loky_give_the_expected_outcomes(batch, tmp_path):
    with opened(["isolated", "serial", "loky"], tmp_path) as drivers:

        @seed(1000 + batch)
        @settings(SETTINGS, max_examples=min(SERIAL, BATCH))
        @given(programs())
        def run(program: Program) -> None:
            executors = ("serial",) * program.plain + ("loky",) * (not program.pieces & NOT_LOKY)
            check(drivers, program._replace(cut=None), executors)

        run()

"""Exercises on this computer: solutions pass, and unfinished files and traps fail where they should."""

import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
from patience import patient

from hpcml.commands.main import main
from hpcml.commands.tutorial.exercises import exercises, tutorials

CHECK_SECONDS = 60
WITH_MPI = {"islands", "data_parallel"}
RUN = ("-m", "hpcml", "run", "--slots-per-node", "3", "start.py")
ON_THREE_SLOTS = {
    **dict.fromkeys(("data_once", "genetic_algorithm", "one_map"), RUN),
    **dict.fromkeys(("islands", "seeds_and_clock"), ("start.py", "--slots", "3")),
}
UNFINISHED = {
    1: {"every slot works", "accuracy on new digits", "number of clusters", "centres of the clusters"},
    2: {"bytes sent once", "one copy on each node", "bytes of 1000 tasks"},
    3: {
        "slots that work",
        "speed-up of long evaluations",
        "predicted break-even",
        "a failed individual is named",
    },
    4: {"slots that work", "a swarm without order", "size for 16 slots"},
    5: {
        "first populations differ",
        "islands are tasks",
        "every rank returns",
        "ranks share the islands",
        "islands by MPI",
        "migrants",
    },
    6: {"seeds are jobs", "missing seed", "no seed runs twice", "work that is lost", "generations made twice"},
    7: {"shards", "accuracy on new digits"},
    8: {"repeats", "baseline", "efficiencies", "serial fraction", "where to stop"},
}
TRAPS = {
    1: {"centres of the clusters"},
    2: {"bytes sent once", "one copy on each node"},
    3: {"a failed individual is named"},
    4: {"a swarm without order"},
    5: {"first populations differ"},
    6: {"logbook of an uncut run", "population of an uncut run", "random numbers of an uncut run"},
    7: {"loss on more ranks"},
    8: {"baseline"},
}


def check(exercise, directory, *words, **environment):
    """Run ``hpcml tutorial check``; return its exit status, the names of the failed checks, and its output."""
    command = [sys.executable, "-m", "hpcml", "tutorial", "check", str(exercise.number), directory, *words]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=patient(CHECK_SECONDS), check=False, **environment
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    failed = {line.removeprefix("FAILED").strip() for line in lines}
    return done.returncode, failed, done.stdout + done.stderr


def copied(exercise, kind, place):
    """Copy the program of an exercise, its solution or its trap into a student's folder."""
    shutil.copytree(tutorials() / exercise.folder / kind, place, ignore=shutil.ignore_patterns("results"))
    return place


def graded(names=None):
    """Return the exercises as parameters, those with MPI where there is one; all, or those of some names."""
    without = shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None
    found = []
    for exercise in exercises():
        if names is None or exercise.name in names:
            skipped = without and exercise.name in WITH_MPI
            marks = pytest.mark.skipif(skipped, reason="there is no mpirun, or no mpi4py")
            found.append(pytest.param(exercise, id=exercise.name, marks=marks))
    return found


@pytest.mark.parametrize("exercise", graded())
@pytest.mark.parametrize(("kind", "failures"), [("solution", {}), (".", UNFINISHED), ("trap", TRAPS)])
def test_a_solution_passes_and_others_fail_where_they_should(exercise, kind, failures, tmp_path):
    place = copied(exercise, kind, tmp_path / "student")
    expected = failures.get(exercise.number, set())
    status, failed, shown = check(exercise, place)
    assert (status, failed) == (int(bool(expected)), expected), shown
    assert (place / "results" / f"{exercise.number:02}.png").stat().st_size > 10_000


@pytest.mark.parametrize("exercise", graded(ON_THREE_SLOTS))
def test_a_solution_on_three_slots_has_the_numbers_of_one_process(exercise, tmp_path):
    """The grader compares with one process; two slots are those of the other tests."""
    place = copied(exercise, "solution", tmp_path / "student")
    words = [sys.executable, *ON_THREE_SLOTS[exercise.name], "--quick"]
    subprocess.run(words, cwd=place, capture_output=True, timeout=patient(CHECK_SECONDS), check=True)
    found = json.loads((place / exercise.results).read_text())
    assert found.get("slots", 3) == 3  # exercise 2 has nodes alone
    status, failed, shown = check(exercise, place, "--no-run")
    assert (status, failed) == (0, set()), shown


def test_an_individual_that_cannot_be_evaluated_ends_the_genetic_algorithm(tmp_path):
    (exercise,) = (one for one in exercises() if one.name == "genetic_algorithm")
    place = copied(exercise, "solution", tmp_path / "student")
    words = [sys.executable, "start.py", "--quick", "--broken"]
    done = subprocess.run(
        words, cwd=place, capture_output=True, text=True, timeout=patient(CHECK_SECONDS), check=False
    )
    last = done.stderr.splitlines()[-1]
    assert (done.returncode, last) == (1, f"while evaluating the Individual {[0] * 12}"), done.stderr


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.name)
def test_the_files_of_an_exercise_are_all_there(exercise):
    folder = tutorials() / exercise.folder
    for name in ("README.rst", "start.py", "job.sbatch", "expected.png", "solution/start.py", "trap/start.py"):
        assert (folder / name).is_file()
    script = (folder / "job.sbatch").read_text()
    assert len(script.splitlines()) <= 8
    assert "sleep" not in script
    assert "TODO 1" in (folder / "start.py").read_text()


def test_an_exercise_is_copied_without_its_solution(tmp_path):
    words = [sys.executable, "-m", "hpcml", "tutorial", "start", "01", "mine"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "README.rst",
        "expected.png",
        "job.sbatch",
        "start.py",
    ]
    again = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, "mine exists already" in again.stderr) == (1, True)


def test_a_class_is_graded_without_a_run_of_its_files(tmp_path):
    students = tmp_path / "class"
    for name, content in (("ann", "{}"), ("=bob", json.dumps({"quick": True})), ("eve", "[" * 100_000)):
        place = students / name / exercises()[0].folder / "results"
        place.mkdir(parents=True)
        (place / "01.json").write_text(content)
        (place.parent / "start.py").write_text("open('../ran', 'w')")
    (students / "zoe").mkdir()
    first, *others = sorted(students.iterdir())
    words = ["tutorial", "grade", first, "--csv", tmp_path / "grades.csv", *others]
    done = subprocess.run([sys.executable, "-m", "hpcml", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not list(students.rglob("ran"))
    lines = (tmp_path / "grades.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["student", "'=bob", "ann", "eve", "zoe"]
    assert "0 of 1" in lines[1]


def test_each_folder_of_a_class_has_a_row_and_one_that_is_not_there_is_an_error(tmp_path, capsys):
    folders = [tmp_path / "monday" / "ann", tmp_path / "tuesday" / "ann"]
    for folder in folders:
        folder.mkdir(parents=True)
    assert main(["tutorial", "grade", *map(str, folders)]) == 0
    shown = capsys.readouterr().out
    assert all(str(folder) in shown for folder in folders)
    assert main(["tutorial", "grade", str(tmp_path / "nobody")]) == 1
    assert f"there is no folder {tmp_path}/nobody" in capsys.readouterr().err

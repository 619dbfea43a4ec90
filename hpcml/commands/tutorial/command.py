"""``hpcml tutorial list``, ``start``, ``check`` and ``grade``."""

import argparse
import csv
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.commands.tutorial.checks import Check
from hpcml.commands.tutorial.exercises import BrokenJob, Exercise, broken_jobs, exercises, find, folder_of
from hpcml.commands.tutorial.graders import grader
from hpcml.commands.tutorial.graders.broken import ends_of, fault_named
from hpcml.commands.tutorial.results import NoResults, read_results
from hpcml.commands.tutorial.running import run_job, run_program
from hpcml.commands.tutorial.text import class_rows, class_table, listing, outcome, schema
from hpcml.errors import HpcmlError

__all__ = ["check_exercise", "grade_class", "grade_results", "list_exercises", "start_exercise"]

NOT_COPIED = shutil.ignore_patterns("solution", "trap", "mended", "results", "__pycache__")


def list_exercises(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print all exercises and broken jobs."""
    print(listing([*exercises(), *broken_jobs()]))
    return 0


def start_exercise(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Copy an exercise into a new folder.

    Raises
    ------
    HpcmlError
        There is no such exercise, or the folder exists.
    """
    exercise = find(arguments.number)
    target = arguments.directory or Path(Path(exercise.folder).name)
    try:
        shutil.copytree(folder_of(exercise), target, ignore=NOT_COPIED)
    except FileExistsError as error:
        raise HpcmlError(f"{target} exists already: name another folder after the number") from error
    except OSError as error:
        raise HpcmlError(f"{target} cannot be written: {error}") from error
    print(f"{exercise.title}\n\nread  {target}/README.rst")
    if isinstance(exercise, BrokenJob):
        print(f"run   bash {exercise.program} --quick   (there)\nmend  script.py, or {exercise.program}")
    else:
        print(f"edit  {target}/{exercise.program}")
    print(f"then  hpcml tutorial check {exercise.label} {target}")
    return 0


def check_exercise(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run a student's program or job, and grade its results; return 0 where all checks pass, else 1.

    Raises
    ------
    HpcmlError
        There is no such exercise, no program, or this computer lacks a library of the grader.
    """
    exercise = find(arguments.number)
    fields, _ = grader(exercise.grader)
    if arguments.schema:
        print(schema(exercise, fields))
        return 0
    directory = arguments.directory or Path()
    if not arguments.no_run:
        _run(exercise, directory, arguments, environment)
    checks = grade_results(exercise, directory)
    print(outcome(exercise, checks))
    return 0 if all(check.passed for check in checks) else 1


def _run(
    exercise: Exercise, directory: Path, arguments: argparse.Namespace, environment: Mapping[str, str]
) -> None:
    if isinstance(exercise, BrokenJob):
        options = {"sbatch": arguments.sbatch, "environment": environment}
        run_job(exercise, directory, arguments.timeout, arguments.full, **options)
        return
    if arguments.sbatch is not None:
        raise HpcmlError(
            f"--sbatch is for broken jobs: type `sbatch job.sbatch` in {directory}, and at its end "
            f"`hpcml tutorial check {exercise.label} --no-run`"
        )
    run_program(exercise, directory, arguments.timeout, arguments.full)


def grade_results(exercise: Exercise, directory: Path) -> list[Check]:
    """Return the checks of the results in a student's folder; of such that cannot be read, a failed one.

    Raises
    ------
    HpcmlError
        This computer lacks a library of the grader.
    """
    fields, grade = grader(exercise.grader)
    checks = ends_of(exercise, directory) if isinstance(exercise, BrokenJob) else []
    try:
        results = read_results(directory / exercise.results, fields)
        if isinstance(exercise, BrokenJob):
            checks.append(fault_named(exercise, results))
            if not checks[-1].passed:
                return [*ends_of(exercise, directory, is_named=False), checks[-1]]
        return [*checks, *grade(results)]
    except NoResults as error:
        hint = f"`hpcml tutorial check {exercise.label} --schema` lists all fields"
        return [*checks, Check("results", False, f"{exercise.results} with all its fields", str(error), hint)]
    except ImportError as error:
        raise HpcmlError(f"the grader needs {error.name}: {sys.executable} -m pip install {error.name}") from error


def grade_class(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Grade the results in the folders of a class, as a table and CSV; return the exit status.

    Raises
    ------
    HpcmlError
        A folder is not there.
    """
    everything = [*exercises(), *broken_jobs()]
    graded: dict[str, dict[str, Sequence[Check]]] = {}
    for student, folder in _students(arguments.directories).items():
        graded[student] = {
            exercise.label: grade_results(exercise, place)
            for exercise in everything
            if (place := _place(folder, exercise)) is not None
        }
    shown = [exercise for exercise in everything if any(exercise.label in found for found in graded.values())]
    rows = class_rows(graded, shown)
    print(class_table(rows))
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return 0


def _students(folders: Sequence[Path]) -> dict[str, Path]:
    """Return the folders by the names of students; where two have one name, by their paths."""
    for folder in folders:
        if not folder.is_dir():
            raise HpcmlError(f"there is no folder {folder}: `hpcml tutorial grade class/*` names all of a class")
    names = Counter(folder.name for folder in folders)
    return {folder.name if folder.name and names[folder.name] == 1 else str(folder): folder for folder in folders}


def _place(folder: Path, exercise: Exercise) -> Path | None:
    """Return where in a student's folder the results of an exercise are; None where there are none."""
    whole = Path(exercise.folder)
    files = (exercise.results, exercise.ends) if isinstance(exercise, BrokenJob) else (exercise.results,)
    places = (folder / whole, folder / whole.name, folder)
    return next((place for place in places if any((place / file).exists() for file in files)), None)

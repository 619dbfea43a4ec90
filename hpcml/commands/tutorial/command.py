"""``hpcml tutorial list``, ``start``, ``check`` and ``grade``."""

import argparse
import csv
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.commands.tutorial.checks import Check
from hpcml.commands.tutorial.exercises import Exercise, exercises, find, folder_of
from hpcml.commands.tutorial.graders import grader
from hpcml.commands.tutorial.results import NoResults, read_results
from hpcml.commands.tutorial.text import class_rows, class_table, listing, outcome, schema
from hpcml.errors import HpcmlError

__all__ = ["check_exercise", "grade_class", "grade_results", "list_exercises", "start_exercise"]

PROGRAM = "start.py"
RUN_SECONDS = 600.0
NOT_COPIED = shutil.ignore_patterns("solution", "trap", "results", "__pycache__")


def list_exercises(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Print all exercises."""
    print(listing(exercises()))
    return 0


def start_exercise(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Copy an exercise into a new folder.

    Raises
    ------
    HpcmlError
        There is no such exercise, or the folder exists.
    """
    exercise = find(arguments.number)
    target = arguments.directory or Path(exercise.folder)
    try:
        shutil.copytree(folder_of(exercise), target, ignore=NOT_COPIED)
    except FileExistsError as error:
        raise HpcmlError(f"{target} exists already: name another folder after the number") from error
    except OSError as error:
        raise HpcmlError(f"{target} cannot be written: {error}") from error
    print(f"{exercise.title}\n\nread  {target}/README.rst\nedit  {target}/{PROGRAM}")
    print(f"then  hpcml tutorial check {exercise.number} {target}")
    return 0


def check_exercise(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Run a student's program, and grade its results; return 0 where all checks pass, else 1.

    Raises
    ------
    HpcmlError
        There is no such exercise, no program, or this computer lacks a library of the grader.
    """
    exercise = find(arguments.number)
    if arguments.schema:
        print(schema(exercise, grader(exercise.name).fields))
        return 0
    directory = arguments.directory or Path()
    if not arguments.no_run:
        _run(exercise, directory, arguments.timeout, arguments.full)
    checks = grade_results(exercise, directory)
    print(outcome(exercise, checks))
    return 0 if all(check.passed for check in checks) else 1


def _run(exercise: Exercise, directory: Path, seconds: float, full: bool) -> None:
    program = directory / PROGRAM
    if not program.is_file():
        raise HpcmlError(
            f"there is no {program}: type `hpcml tutorial start {exercise.number}`, or name the folder that has it"
        )
    (directory / exercise.results).unlink(missing_ok=True)  # those of an earlier run prove nothing
    words = [sys.executable, PROGRAM, *([] if full else ["--quick"])]
    try:
        done = subprocess.run(words, cwd=directory, stdin=subprocess.DEVNULL, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise HpcmlError(f"{program} has not ended after {seconds:g} s: --timeout gives it more") from error
    if done.returncode:
        raise HpcmlError(f"{program} ended with exit status {done.returncode}, and is not graded")


def grade_results(exercise: Exercise, directory: Path) -> list[Check]:
    """Return the checks of the results in a student's folder; of such that cannot be read, a failed one.

    Raises
    ------
    HpcmlError
        This computer lacks a library of the grader.
    """
    fields, grade = grader(exercise.name)
    try:
        return list(grade(read_results(directory / exercise.results, fields)))
    except NoResults as error:
        hint = f"`hpcml tutorial check {exercise.number} --schema` lists all fields"
        return [Check("results", False, f"{exercise.results} with all its fields", str(error), hint)]
    except ImportError as error:
        raise HpcmlError(f"the grader needs {error.name}: {sys.executable} -m pip install {error.name}") from error


def grade_class(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Grade the results in the folders of a class, as a table and CSV; return the exit status."""
    graded: dict[str, dict[int, Sequence[Check]]] = {}
    for folder in arguments.directories:
        graded[folder.name or str(folder)] = {
            exercise.number: grade_results(exercise, place)
            for exercise in exercises()
            if (place := _place(folder, exercise)) is not None
        }
    rows = class_rows(graded, exercises())
    print(class_table(rows))
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return 0


def _place(folder: Path, exercise: Exercise) -> Path | None:
    """Return where in a student's folder the results of an exercise are; None where there are none."""
    places = (folder / exercise.folder, folder)
    return next((place for place in places if (place / exercise.results).exists()), None)

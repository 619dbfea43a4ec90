"""Exercises, and the folders that have their files."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import hpcml
from hpcml.errors import HpcmlError

__all__ = ["Exercise", "exercises", "find", "folder_of", "tutorials"]

INSTALLED = "share/hpcml/tutorials"


@dataclass(frozen=True)
class Exercise:
    """An exercise.

    Parameters
    ----------
    number, name
        Number from 1, and name: that of its grader, and after the number that of its folder.
    title
        The title in one line.
    minutes
        Time that a student needs.
    """

    number: int
    name: str
    title: str
    minutes: int

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"{self.number:02}_{self.name}"

    @property
    def results(self) -> Path:
        """File of the results, in the student's folder."""
        return Path("results", f"{self.number:02}.json")


EXERCISES = (
    Exercise(1, "grid_search", "A grid on every core you asked for", 30),
    Exercise(2, "data_once", "Ship the data once", 20),
    Exercise(3, "genetic_algorithm", "When does a genetic algorithm get faster?", 40),
    Exercise(4, "one_map", "One map, four families", 40),
    Exercise(5, "islands", "Islands, by map and by MPI", 40),
    Exercise(7, "data_parallel", "Data-parallel training", 30),
    Exercise(8, "speedup", "The speed-up plot, honestly", 30),
)


def exercises() -> tuple[Exercise, ...]:
    """Return all exercises, in order."""
    return EXERCISES


def find(number: str) -> Exercise:
    """Return the exercise with a number, as it is typed.

    Raises
    ------
    HpcmlError
        There is none.

    Examples
    --------
    >>> from hpcml.commands.tutorial.exercises import find
    >>> find("01").folder
    '01_grid_search'
    """
    for exercise in EXERCISES:
        if number.lstrip("0") == str(exercise.number):
            return exercise
    last = EXERCISES[-1].number
    raise HpcmlError(f"there is no exercise {number}: `hpcml tutorial list` shows them, 1 to {last}")


def tutorials() -> Path:
    """Return the folder of the exercises: that of the repository, else the one that was installed.

    Raises
    ------
    HpcmlError
        There is neither.
    """
    repository = Path(hpcml.__file__).parents[1] / "tutorials"
    if (repository / EXERCISES[0].folder).is_dir():
        return repository
    for file in importlib.metadata.files("hpcml") or ():
        before, found, _ = str(file.locate()).partition(INSTALLED)
        if found:
            return Path(before, INSTALLED)
    raise HpcmlError("the exercises are not installed: clone the repository, or install hpcml again")


def folder_of(exercise: Exercise) -> Path:
    """Return the folder of an exercise."""
    return tutorials() / exercise.folder

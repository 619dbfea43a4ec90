"""Exercises and broken jobs, and the folders that have their files."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import hpcml
from hpcml.errors import HpcmlError

__all__ = ["BrokenJob", "Exercise", "Run", "broken_jobs", "exercises", "find", "folder_of", "tutorials"]

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

    kind: ClassVar[str] = ""
    program: ClassVar[str] = "start.py"  # the file that is run

    number: int
    name: str
    title: str
    minutes: int

    @property
    def label(self) -> str:
        """The word that names it on the command line."""
        return f"{self.kind}-{self.number:02}" if self.kind else str(self.number)

    @property
    def folder(self) -> str:
        """Its folder, in that of all exercises."""
        return f"{self.kind}/{self.number:02}_{self.name}".lstrip("/")

    @property
    def grader(self) -> str:
        """Module of its grader."""
        return f"{self.kind}.{self.name}".lstrip(".")

    @property
    def results(self) -> Path:
        """File of the results, in the student's folder."""
        return Path("results", f"{self.label:0>2}.json")


@dataclass(frozen=True)
class Run:
    """A run of a job file: the words after the file, and whether a mended job fails there."""

    words: tuple[str, ...] = ()
    fails: bool = False


@dataclass(frozen=True)
class BrokenJob(Exercise):
    """A job with a fault that a student finds and mends.

    Parameters
    ----------
    stages
        Runs of the job file by which the mended job is graded; those of a stage run at the same time.
    is_whole_in_slurm
        Whether a job that is submitted does all its work, without ``--quick``: Slurm's limits are whole minutes.
    """

    kind: ClassVar[str] = "broken"
    program: ClassVar[str] = "job.sbatch"

    stages: tuple[tuple[Run, ...], ...] = ((Run(),),)
    is_whole_in_slurm: bool = False

    @property
    def ends(self) -> Path:
        """File in which ``hpcml tutorial check`` notes how the job has ended."""
        return Path("results", f"{self.label}-ends.json")


EXERCISES = (
    Exercise(1, "grid_search", "A grid on every core you asked for", 30),
    Exercise(2, "data_once", "Ship the data once", 20),
    Exercise(3, "genetic_algorithm", "When does a genetic algorithm get faster?", 40),
    Exercise(4, "one_map", "One map, four families", 40),
    Exercise(5, "islands", "Islands, by map and by MPI", 40),
    Exercise(6, "seeds_and_clock", "An array of seeds that survives the clock", 30),
    Exercise(7, "data_parallel", "Data-parallel training", 30),
    Exercise(8, "speedup", "The speed-up plot, honestly", 30),
)

BROKEN = (
    BrokenJob(1, "works_by_hand", "It works by hand, and fails in the job", 10),
    BrokenJob(2, "slower_than_one", "Busy slots, right results, and slow", 10),
    BrokenJob(3, "small_input_only", "It works with a small input only", 15),
    BrokenJob(4, "wrong_sum", "The sum is wrong on two nodes", 15),
    BrokenJob(5, "repeated_lines", "The first line comes many times", 10),
    BrokenJob(6, "too_sure", "An error of 0, and the wrong pi", 10),
    BrokenJob(7, "completed", "COMPLETED, but without results", 10, ((Run(("--broken",), True),), (Run(),))),
    BrokenJob(
        8,
        "lost_table",
        "Two jobs, and one table",
        10,
        ((Run(("--seed", "1")), Run(("--seed", "2"))), (Run(("--collect",)),)),
    ),
    BrokenJob(9, "half_done", "It ends before its work is done", 10, is_whole_in_slurm=True),
    BrokenJob(10, "no_speedup", "More slots make it slower", 15),
)


def broken_jobs() -> tuple[BrokenJob, ...]:
    """Return all broken jobs, in order."""
    return BROKEN


def exercises() -> tuple[Exercise, ...]:
    """Return all exercises, in order."""
    return EXERCISES


def find(number: str) -> Exercise:
    """Return the exercise with a number, or the broken job with a word, as they are typed.

    Raises
    ------
    HpcmlError
        There is none.

    Examples
    --------
    >>> from hpcml.commands.tutorial.exercises import find
    >>> find("01").folder
    '01_grid_search'
    >>> find("broken-3").title
    'It works with a small input only'
    """
    kind, dash, digits = number.rpartition("-")
    among: tuple[Exercise, ...] = BROKEN if (kind, dash) == ("broken", "-") else EXERCISES if not dash else ()
    for exercise in among:
        if digits.lstrip("0") == str(exercise.number):
            return exercise
    known = f"1 to {EXERCISES[-1].number}, and broken-01 to {BROKEN[-1].label}"
    raise HpcmlError(f"there is no exercise {number}: `hpcml tutorial list` shows them, {known}")


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

"""Graders of broken jobs: a module for each, with ``FAULT``, the word for its fault, ``FIELDS`` and ``grade``.

The end of the job, and the word, are checked here. The checks of the module follow once the student has found the
word: their names and hints would give it away.
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcml.commands.tutorial.checks import Check
from hpcml.commands.tutorial.exercises import BrokenJob, Run
from hpcml.commands.tutorial.results import NoResults, read_results, text, texts

__all__ = ["ENDS", "FAULTS", "WORD", "ends_of", "fault_named"]

FAULTS = (
    "data",
    "directory",
    "environment",
    "guard",
    "layout",
    "memory",
    "random",
    "status",
    "threads",
    "time",
)
"""Words for the fault of a job; tutorials/broken/README.rst has the meaning of each."""

WORD = text(f"your word for the fault of the job, FAULT of script.py: one of {', '.join(FAULTS)}")
ENDS = {"ends": texts("exit status of each run of the job, or that its time was over")}


def ends_of(job: BrokenJob, directory: Path, is_named: bool = True) -> list[Check]:
    """Return the checks how the runs of a job have ended, as ``hpcml tutorial check`` has noted it.

    Parameters
    ----------
    is_named
        Whether the student has the word for the fault: a run that is to fail gives that away.
    """
    runs = [run for stage in job.stages for run in stage]
    try:
        ends: Sequence[Any] = read_results(directory / job.ends, ENDS)["ends"]
    except NoResults as error:
        hint = f"`hpcml tutorial check {job.label}` runs the job, and notes how it has ended"
        return [Check("end of the job", False, f"{job.ends}", str(error), hint)]
    pairs = zip(runs, [*ends, *["no run"] * len(runs)], strict=False)
    return [_end(run, str(end)) for run, end in pairs if is_named or not run.fails]


def _end(run: Run, end: str) -> Check:
    name = " ".join(("end of job.sbatch", *run.words))
    found = f"exit status {end}" if end.isdecimal() else end
    if run.fails:
        expected = "an exit status other than 0, for script.py fails"
        hint = "Slurm, and jobs that wait for this one, see the exit status of the job file alone"
        return Check(name, end.isdecimal() and int(end) > 0, expected, found, hint)
    hint = "the output above ends with the error; `hpcml report` has the failed tasks, and how many are done"
    return Check(name, end == "0", "exit status 0", found, hint)


def fault_named(job: BrokenJob, results: Mapping[str, Any]) -> Check:
    """Return the check of the student's word for the fault; the right word is not shown."""
    right: str = importlib.import_module(f"{__package__}.{job.name}").FAULT
    found = results["fault"]
    hint = f"FAULT of script.py is one of {', '.join(FAULTS)}; README.rst says where the fault is seen"
    return Check("name of the fault", found == right, "the word for this job's fault", found or "no word", hint)

"""Runs of a student's files, in processes of their own: a program of an exercise, or the job file of a broken job.

Without Slurm, a job file is run by bash, and the time limit that it asks for holds as in Slurm.
"""

import contextlib
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hpcml.commands.tutorial.exercises import BrokenJob, Exercise
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.partitions import parse_time_limit

__all__ = ["TIME_LIMIT", "run_job", "run_program", "time_limit"]

TIME_LIMIT = "the time limit"
KILL_SECONDS = 10.0  # from SIGTERM to SIGKILL, as Slurm's KillWait
_TIME = re.compile(r"^#SBATCH\s+(?:--time[= ]|-t\s*)\s*(\S+)", re.MULTILINE)


def run_program(exercise: Exercise, directory: Path, seconds: float, full: bool) -> None:
    """Run the program of an exercise.

    Raises
    ------
    HpcmlError
        There is no program, it has not ended in time, or it has failed.
    """
    program = _prepare(exercise, directory, exercise.results)
    words = [sys.executable, exercise.program, *([] if full else ["--quick"])]
    try:
        done = subprocess.run(words, cwd=directory, stdin=subprocess.DEVNULL, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise _not_ended(program, seconds) from error
    if done.returncode:
        raise HpcmlError(f"{program} ended with exit status {done.returncode}, and is not graded")


def _prepare(exercise: Exercise, directory: Path, *earlier: Path) -> Path:
    """Return the file to run; files of an earlier run prove nothing, and are removed."""
    program = directory / exercise.program
    if not program.is_file():
        raise HpcmlError(
            f"there is no {program}: type `hpcml tutorial start {exercise.label}`, or name the folder that has it"
        )
    for file in earlier:
        (directory / file).unlink(missing_ok=True)
    return program


def _not_ended(program: Path, seconds: float) -> HpcmlError:
    return HpcmlError(f"{program} has not ended after {seconds:g} s: --timeout gives it more")


def run_job(
    job: BrokenJob,
    directory: Path,
    seconds: float,
    full: bool,
    *,
    sbatch: str | None,
    environment: Mapping[str, str],
) -> None:
    """Run a broken job, and note how each run has ended.

    Parameters
    ----------
    sbatch
        Options with which the job file is submitted; None: bash runs the file.

    Raises
    ------
    HpcmlError
        There is no job file, or a run has not ended in time.
    """
    program = _prepare(job, directory, job.results, job.ends)
    shell = ["bash"] if sbatch is None else ["sbatch", "--wait", *shlex.split(sbatch)]
    limit = time_limit(program.read_text(errors="replace")) if sbatch is None else math.inf
    path = f"{Path(sys.executable).parent}:{environment.get('PATH', os.defpath)}"  # `hpcml` and `python` are these
    variables = {**environment, "PATH": path}
    size = [] if full or (sbatch is not None and job.is_whole_in_slurm) else ["--quick"]
    end = time.monotonic() + seconds
    ends = []
    for stage in job.stages:
        with contextlib.ExitStack() as stack:
            commands = [[*shell, job.program, *size, *run.words] for run in stage]
            started = [stack.enter_context(_started(words, directory, variables)) for words in commands]
            began = time.monotonic()
            for process in started:
                ends.append(_end_of(process, began + limit, end))
                if not ends[-1]:
                    raise _not_ended(program, seconds)
    (directory / job.ends).parent.mkdir(exist_ok=True)
    (directory / job.ends).write_text(json.dumps({"ends": ends}))


@contextlib.contextmanager
def _started(
    words: Sequence[str], directory: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a job in a session of its own; nothing of the job is left at the end."""
    with subprocess.Popen(
        words, cwd=directory, env=dict(variables), stdin=subprocess.DEVNULL, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _end_of(process: subprocess.Popen[bytes], limit: float, end: float) -> str:
    """Wait for the end of a job; return its exit status or that its time was over, "" where it has not ended."""
    try:
        status = process.wait(max(min(limit, end) - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        if end < limit:
            return ""
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(KILL_SECONDS)
        return TIME_LIMIT
    return str(status if status >= 0 else 128 - status)


def time_limit(script: str) -> float:
    """Return the seconds that a job file asks for; infinite where it does not say.

    Examples
    --------
    >>> from hpcml.commands.tutorial.running import time_limit
    >>> time_limit("#!/bin/bash\\n#SBATCH --time=00:01:30\\n"), time_limit("#SBATCH -t 2\\n"), time_limit("")
    (90.0, 120.0, inf)
    """
    found = _TIME.search(script)
    minutes = parse_time_limit(found[1]) if found else None
    return math.inf if minutes is None else 60 * minutes

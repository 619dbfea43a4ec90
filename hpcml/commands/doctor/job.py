"""Job of an examination from a login node: salloc starts ``hpcml doctor`` once more, in a job."""

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from hpcml.errors import CommandError, HpcmlError
from hpcml.slurm.commands import partition_query, submission_environment
from hpcml.slurm.jobs.partitions import parse_partitions
from hpcml.slurm.jobs.submission import find_unmet
from hpcml.slurm.process import run

__all__ = ["allocation_command", "examine_in_job"]

_DEFAULTS = {"job-name": "hpcml-doctor", "immediate": "300", "kill-command": "INT", "time": "10"}
_REFUSED, _TOO_LATE = 113, 114  # exit codes of salloc's own


def allocation_command(options: Mapping[str, str | None], words: Sequence[str]) -> list[str]:
    """Return the salloc command for a job with `options`, which runs ``hpcml doctor`` with `words`.

    Examples
    --------
    >>> from hpcml.commands.doctor.job import allocation_command
    >>> allocation_command({"nodes": "2", "exclusive": None}, ["--json"])[2:7]
    ['--immediate=300', '--kill-command=INT', '--time=10', '--nodes=2', '--exclusive']
    """
    request = [
        f"--{name}" if value is None else f"--{name}={value}" for name, value in {**_DEFAULTS, **options}.items()
    ]
    return ["salloc", *request, "--", sys.executable, "-P", "-m", "hpcml", "doctor", *words]


def examine_in_job(options: Mapping[str, str | None], words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run ``hpcml doctor`` in a job, and return its exit status.

    Raises
    ------
    HpcmlError
        No node can run such a job, Slurm refuses it, or it has not started in time.
    """
    env = submission_environment(environment)
    unmet = _unmet(options, env)
    if unmet:
        raise HpcmlError(f"no node can run this job: {unmet}. `sinfo` shows the partitions and their nodes")
    command = allocation_command(options, words)
    shown = " ".join(command[: command.index("--")])
    print(f"hpcml: {shown}", file=sys.stderr, flush=True)
    status = _run_to_end(
        command, {**env, "SLURM_EXIT_ERROR": f"{_REFUSED}", "SLURM_EXIT_IMMEDIATE": f"{_TOO_LATE}"}
    )
    if status == _REFUSED:
        raise HpcmlError("Slurm has refused the job, see above. `sinfo` shows the partitions and their nodes")
    if status == _TOO_LATE:
        raise HpcmlError(
            "no job with these options has started in time. `sinfo` shows which nodes are idle; to wait for an "
            "hour, type `hpcml doctor --immediate=3600` with the same options"
        )
    return status


def _unmet(options: Mapping[str, str | None], env: Mapping[str, str]) -> str:
    if shutil.which("sinfo", path=env.get("PATH")) is not None:
        with contextlib.suppress(CommandError):  # salloc will say why Slurm does not answer
            return find_unmet(options, parse_partitions(run(partition_query(), env)), env)
    return ""


def _run_to_end(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run salloc, whose job's time limit bounds it; Ctrl-C ends the job."""
    with subprocess.Popen(command, env=dict(environment)) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()  # salloc gives its job back
            process.wait()
            raise

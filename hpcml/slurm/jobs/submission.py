"""Submission of job files, with the reason of a refusal and the names that Slurm knows."""

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hpcml.errors import CommandError, SubmissionError
from hpcml.slurm.commands import cancel, partition_query, submission_environment, submit, user_limits_query
from hpcml.slurm.jobs.partitions import Partition, hidden_nodes, parse_partitions, unmet_request
from hpcml.slurm.jobs.script import JobScript
from hpcml.slurm.process import run, run_for_errors
from hpcml.slurm.record_commands import partitions_record

__all__ = ["cancel_jobs", "check_directory", "find_unmet", "submit_job"]

CHDIR_ADVICE = "with --chdir=DIR"
TIMEOUT_SECONDS = 60.0
# Directories of one computer on nearly all systems.
_OWN = ("/tmp", "/var/tmp", "/dev/shm", "/run")


def submit_job(
    script: JobScript, environment: Mapping[str, str], directory: Path, advice: str = CHDIR_ADVICE
) -> int:
    """Submit a job file, with `directory` as the working directory, and return the job's number.

    `advice` says where another directory is named.

    Raises
    ------
    SubmissionError
        There is no Slurm here, the directory cannot be used, no node can fill the request, or Slurm refuses the
        job. The message has the reason and the names that are valid, where Slurm shows them.
    """
    env = submission_environment(environment)
    text = script.text()
    if shutil.which("sbatch", path=env.get("PATH")) is None:
        raise SubmissionError(
            "sbatch is not found: this computer has no Slurm. Type this on a login node of the cluster; to run "
            "the program here, type `hpcml run`"
        )
    partitions = _partitions(env)
    check_directory(directory, is_shared=len(partitions) > 0 and _is_only_node(partitions), advice=advice)
    unmet = find_unmet(script.options, partitions, env)
    if unmet:
        raise SubmissionError(f"no node can run this job: {unmet}. `sinfo` shows the partitions and their nodes")
    with tempfile.TemporaryDirectory(prefix="hpcml-") as place:
        file = Path(place, "job.sbatch")
        file.write_text(text)
        words = script.option_words()
        if "chdir" not in script.options:
            words.append(f"--chdir={directory}")
        try:
            answer = run(submit(words, str(file)), env, TIMEOUT_SECONDS)
        except CommandError as error:
            raise _refusal(error, script.options, partitions, env) from error
    return int(answer.split(";")[0])


def cancel_jobs(jobs: list[str], environment: Mapping[str, str]) -> None:
    """Cancel jobs, by their labels.

    Raises
    ------
    CommandError
        Slurm does not answer, or refuses; jobs that it does not name are cancelled then.
    """
    errors = run_for_errors(cancel(jobs), submission_environment(environment), TIMEOUT_SECONDS)
    if "error:" in errors:
        raise CommandError(f"Slurm does not cancel all of {', '.join(jobs)}: {errors.strip()}", errors)


def check_directory(directory: Path, is_shared: bool = False, advice: str = CHDIR_ADVICE) -> None:
    """Raise SubmissionError for a working directory in which a job cannot write, or that its nodes do not see.

    With `is_shared` the directory is known to be that of the nodes.
    """
    if not os.access(directory, os.W_OK | os.X_OK):
        raise SubmissionError(
            f"{directory} cannot be written to, and the job's output goes there: change to another "
            f"directory, or name one {advice}"
        )
    places = [place for place in _OWN if directory.resolve().is_relative_to(place)]
    if places and not is_shared:
        raise SubmissionError(
            f"{directory} is in {places[0]}, which other nodes do not see: change to a directory "
            f"that all nodes share, such as your home, or name one {advice}"
        )


def _partitions(env: Mapping[str, str]) -> Mapping[str, Partition]:
    try:
        return parse_partitions(run(partition_query(), env, TIMEOUT_SECONDS))
    except CommandError:  # sbatch will say why Slurm does not answer
        return {}


def find_unmet(
    options: Mapping[str, str | None], partitions: Mapping[str, Partition], env: Mapping[str, str]
) -> str:
    """Return which limits a job's options exceed, as `unmet_request`; "" where sinfo does not show all nodes.

    Slurm alone knows what nodes in the cloud can fill.
    """
    unmet = unmet_request(options, partitions)
    if unmet:
        with contextlib.suppress(CommandError):
            return "" if hidden_nodes(run(partitions_record(), env, TIMEOUT_SECONDS), partitions) else unmet
    return unmet


def _is_only_node(partitions: Mapping[str, Partition]) -> bool:
    """Return whether the cluster has one node, which then is this computer."""
    return all(sum(group.nodes for group in partition.groups) <= 1 for partition in partitions.values())


def _refusal(
    error: CommandError,
    options: Mapping[str, str | None],
    partitions: Mapping[str, Partition],
    env: Mapping[str, str],
) -> SubmissionError:
    """Return the error of a job that Slurm has refused, with Slurm's reason and the valid names."""
    lines = [re.sub(r"^sbatch: (error|fatal): ", "", line) for line in error.errors.splitlines() if line.strip()]
    lines = [line.removeprefix("Batch job submission failed: ") for line in lines]
    if not lines:
        return SubmissionError(f"the job could not be submitted: {error}")
    reason = "; ".join(dict.fromkeys(lines))
    hints = []
    if "partition" in reason.lower():
        hints.append(f"the partitions are {', '.join(partitions)}")
    if re.search("account|qos|association", reason, re.IGNORECASE):
        hints.append(_accounts(env))
    given = [f"--{name}" + (f"={value}" if value else "") for name, value in options.items()]
    hints.append(f"the options were {' '.join(given) or '(none)'}")
    return SubmissionError(f"Slurm has refused the job: {reason}; {'; '.join(filter(None, hints))}")


def _accounts(env: Mapping[str, str]) -> str:
    """Return the accounts and QOS that this user may name, where the site's accounting shows them."""
    with contextlib.suppress(CommandError):
        rows = [
            line.split("|") for line in run(user_limits_query(env.get("USER", "")), env, TIMEOUT_SECONDS).split()
        ]
        accounts = sorted({row[0] for row in rows if row[0]})
        names = sorted({name for row in rows if len(row) > 1 for name in row[1].split(",") if name})
        if accounts:
            return f"your accounts are {', '.join(accounts)}, with QOS {', '.join(names) or '(none)'}"
    return ""

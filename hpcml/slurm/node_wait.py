"""Wait for the nodes of a job that Slurm is still switching on: Slurm starts no step before that.

Batch scripts, and the shells of salloc, begin when all nodes are there, as Slurm 22.05 and 24.11 do it, whatever
``--wait-all-nodes`` says. A program that enters a job from outside may come earlier.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping

from hpcml.errors import CommandError, EngineError
from hpcml.slurm.commands import configuration_query, step_environment
from hpcml.slurm.gpus import JobGpus, parse_job_gpus
from hpcml.slurm.job_ids import record_of_job
from hpcml.slurm.node_states import NodeState, late_in_words, parse_node_states, parse_resume_timeout
from hpcml.slurm.process import run
from hpcml.slurm.record_commands import job_details, node_states_query

__all__ = ["LONGEST_SECONDS", "ask_record", "await_job", "late_nodes", "node_states", "wait_for_nodes"]

log = logging.getLogger("hpcml")

QUERY_SECONDS = 10.0
LONGEST_SECONDS = 3600.0  # however long Slurm waits for a node
CONFIGURED_SECONDS = 60.0  # slurmctld looks every 30 s whether the nodes of a job are there
FAILED_QUESTIONS = 10  # in a row, that end the wait: a backup of slurmctld takes over within minutes
PAUSES = (0.5, 1.0, 2.0, 5.0)  # between two questions; the last one again and again


def await_job(
    job: str,
    names: Iterable[str],
    environment: Mapping[str, str],
    unwanted: threading.Event | None = None,
    seconds: float = QUERY_SECONDS,
) -> JobGpus:
    """Wait for the nodes of a job as `wait_for_nodes` does; return the GPUs of the job, for its steps.

    Slurm has so many `seconds` to answer the first question, or 10.

    Raises
    ------
    EngineError
        A node has not come; see `wait_for_nodes`.
    CommandError
        Slurm does not answer.
    """
    record = ask_record(job, environment, seconds)
    wait_for_nodes(job, names, environment, record=record, unwanted=unwanted)
    return parse_job_gpus(record)


def node_states(
    names: Iterable[str], environment: Mapping[str, str], seconds: float = QUERY_SECONDS
) -> dict[str, NodeState]:
    """Return the states of some nodes.

    Raises
    ------
    CommandError
        Slurm does not answer.
    """
    nodes = list(names)
    return parse_node_states(run(node_states_query(nodes), step_environment(environment), seconds), nodes)


def late_nodes(names: Iterable[str], environment: Mapping[str, str], seconds: float = QUERY_SECONDS) -> str:
    """Return which of some nodes are not ready and why, in words; "" for none, or where Slurm does not answer."""
    nodes = list(names)
    try:
        return late_in_words(node_states(nodes, environment, seconds)) if nodes else ""
    except CommandError:
        return ""


def wait_for_nodes(
    job: str,
    names: Iterable[str],
    environment: Mapping[str, str],
    *,
    record: str = "",
    timeout: float | None = None,
    unwanted: threading.Event | None = None,
) -> None:
    """Wait until all nodes of a job are switched on, and say which are not; return at once for a job that runs.

    Parameters
    ----------
    job, names
        The job's `hpcml.slurm.job_ids.exact_job_id`, and its nodes.
    environment
        Environment variables of the caller, from which a step's are made.
    record
        Slurm's record of the job, where it was just asked for.
    timeout
        Seconds to wait; None: as long as Slurm itself waits for a node (ResumeTimeout), and a minute.
    unwanted
        Set when the nodes are not waited for any longer.

    Raises
    ------
    EngineError
        The job has ended or gone back to the queue, for a node has not come; or the time is over. The message says
        which nodes are not there.
    CommandError
        Slurm does not answer the first question, or several in a row, or has forgotten the job.
    """
    nodes = list(names)
    record = record or ask_record(job, environment)
    if "JobState=CONFIGURING" not in record:
        return
    seconds = _longest(environment) if timeout is None else timeout
    began = time.monotonic()
    said, looks = "", 0
    failed: list[CommandError] = []  # questions without an answer, since the last answer
    while "JobState=CONFIGURING" in record and not (unwanted is not None and unwanted.is_set()):
        words = late_nodes(nodes, environment)
        if words and words != said:
            log.warning("job %s waits for its nodes, up to %.0f s: %s", job, seconds, words)
            said = words
        if time.monotonic() > began + seconds:
            raise EngineError(
                f"the nodes of job {job} were not ready in {seconds:.0f} s: {words or 'Slurm does not say why'}"
            )
        pause = PAUSES[min(looks, len(PAUSES) - 1)]
        threading.Event().wait(pause) if unwanted is None else unwanted.wait(pause)
        looks += 1
        record = _ask_again(job, environment, failed, said) or record
    if "JobState=RUNNING" not in record and "JobState=CONFIGURING" not in record:
        words = late_nodes(nodes, environment) or said
        raise EngineError(f"job {job} has lost its nodes before all were ready: {words}")


def ask_record(job: str, environment: Mapping[str, str], seconds: float = QUERY_SECONDS) -> str:
    """Return Slurm's record of a job, with what the job holds on each node.

    Raises
    ------
    CommandError
        Slurm does not answer, or about other jobs alone.
    """
    text = run(job_details(job), step_environment(environment), min(seconds, QUERY_SECONDS))
    record = record_of_job(text, job)
    if not record:
        raise CommandError(f"scontrol shows no job {job}: {text.strip()[:200] or 'nothing at all'}")
    return record


def _ask_again(job: str, environment: Mapping[str, str], failed: list[CommandError], said: str) -> str:
    """Return Slurm's record of a job; "" where Slurm does not answer, which is noted in `failed`."""
    try:
        record = ask_record(job, environment)
    except CommandError as error:
        if "Invalid job id" in str(error):
            raise
        failed.append(error)
        log.debug("Slurm does not answer about job %s: %s", job, error)
        if len(failed) < FAILED_QUESTIONS:
            return ""
        raise CommandError(
            f"Slurm has not answered {len(failed)} questions in a row about job {job}, which waits for its nodes"
            f"{f' ({said})' if said else ''}. The last answer: {error}"
        ) from None
    failed.clear()
    return record


def _longest(environment: Mapping[str, str]) -> float:
    """Return the seconds after which Slurm has given a node up, and noticed that; the most without an answer."""
    try:
        config = run(configuration_query(), step_environment(environment), QUERY_SECONDS)
    except CommandError:
        return LONGEST_SECONDS
    return min(parse_resume_timeout(config) + CONFIGURED_SECONDS, LONGEST_SECONDS)

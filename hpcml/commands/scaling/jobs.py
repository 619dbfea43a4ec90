"""Runs of a study as jobs of their own, all submitted at once."""

import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hpcml.commands.jobs.submit import job_script, own_options, sbatch_options, submitted
from hpcml.commands.scaling.measuring import measured_from
from hpcml.commands.scaling.order import Order
from hpcml.commands.scaling.study import Measured
from hpcml.errors import CommandError, HpcmlError
from hpcml.slurm.commands import cancel, job_record, submission_environment
from hpcml.slurm.jobs.options import split_words
from hpcml.slurm.jobs.queue import JobQueue
from hpcml.slurm.jobs.reasons import reason_in_words
from hpcml.slurm.jobs.site import read_site
from hpcml.slurm.jobs.states import Job
from hpcml.slurm.jobs.submission import submit_job
from hpcml.slurm.process import run, run_for_errors, tail

__all__ = ["JobRecord", "parse_record", "run_as_jobs"]


@dataclass(frozen=True)
class JobRecord:
    """Facts of a job in Slurm's record: seconds that it ran, what was allocated, and the site's billing."""

    seconds: float
    cpus: int
    nodes: int
    gpus: int
    billing: float | None


def parse_record(text: str) -> JobRecord:
    """Return the facts of a job from the text of ``scontrol show job``.

    Examples
    --------
    >>> from hpcml.commands.scaling.jobs import parse_record
    >>> parse_record("RunTime=1-00:01:40 NumNodes=2 NumCPUs=8 TRES=cpu=8,mem=4G,node=2,billing=8,gres/gpu=4")
    JobRecord(seconds=86500.0, cpus=8, nodes=2, gpus=4, billing=8.0)
    """
    days, hours, minutes, seconds = _find(r"RunTime=(?:(\d+)-)?(\d+):(\d+):(\d+)", text) or ("0",) * 4
    gpus = re.findall(r"gres/gpu=(\d+)", text)
    billing = re.findall(r"billing=([\d.]+)", text)
    return JobRecord(
        seconds=int(days or 0) * 86_400.0 + int(hours) * 3600 + int(minutes) * 60 + int(seconds),
        cpus=int((_find(r"NumCPUs=(\d+)", text) or ("1",))[0]),
        nodes=int((_find(r"NumNodes=(\d+)", text) or ("1",))[0]),
        gpus=int(gpus[0]) if gpus else 0,
        billing=float(billing[0]) if billing else None,
    )


def _find(pattern: str, text: str) -> tuple[str, ...] | None:
    found = re.search(pattern, text)
    return None if found is None else tuple(group or "" for group in found.groups())


def run_as_jobs(
    order: Order, missing: Sequence[tuple[int, int]], environment: Mapping[str, str]
) -> Iterator[Measured]:
    """Submit a job for each of the `missing` runs, and yield what is measured as they end.

    Raises
    ------
    HpcmlError
        Slurm refuses a job, or a job has failed; the jobs that are left are cancelled.
    """
    queue = JobQueue.of(environment)
    waiting: dict[int, tuple[int, int]] = {}
    try:
        for slots, repeat in missing:
            job = _submit(order, slots, repeat, environment)
            queue.note([job])
            waiting[job.job_id] = slots, repeat
        print(f"hpcml: submitted {len(waiting)} jobs; `hpcml jobs` shows them", file=sys.stderr)
        while waiting:
            listing = queue.read()
            for number in [number for number in waiting if not listing.jobs[number].may_run]:
                slots, repeat = waiting.pop(number)
                yield _measured(order, slots, repeat, listing.jobs[number], environment)
            if waiting:
                time.sleep(queue.seconds_to_next(listing))
    finally:
        if waiting:
            run_for_errors(cancel([str(number) for number in waiting]), submission_environment(environment))


def _submit(order: Order, slots: int, repeat: int, environment: Mapping[str, str]) -> Job:
    options = [*(order.sbatch or ()), f"--ntasks={slots}", f"--output={order.output(slots, repeat)}"]
    # Slurm gives 2 nodes of 2 tasks to 3 tasks with --ntasks-per-node=2.
    words = [*options, f"--max-slots={slots}", *order.options, "--", *order.words(slots)]
    given = split_words(words, sbatch_options(environment) | own_options())
    per_node = given.options.get("ntasks-per-node")
    if per_node is not None and per_node.isdecimal():  # with more than there are tasks, Slurm counts these twice
        most = str(min(int(per_node), slots))
        given = replace(given, options={**given.options, "ntasks-per-node": most})
    script = job_script(given, read_site(environment), sys.executable)
    own = script.command.index("run") + 1  # an option that `hpcml submit` does not offer
    measure = ("--measure", str(order.measures(slots, repeat)))
    script = replace(script, command=(*script.command[:own], *measure, *script.command[own:]))
    directory = Path.cwd()
    return submitted(submit_job(script, environment, directory), script, directory)


def _measured(order: Order, slots: int, repeat: int, job: Job, environment: Mapping[str, str]) -> Measured:
    output = order.output(slots, repeat)
    if job.state not in ("COMPLETED", "COMPLETING"):
        printed = tail(output.read_text(errors="replace")) if output.exists() else "    (nothing)"
        raise HpcmlError(
            f"job {job.label} on {slots} slots has ended: {job.state} {reason_in_words(job)}; its output, "
            f"{output}, ends with\n{printed}"
        )
    record = None
    try:
        record = parse_record(run(job_record(job.label), submission_environment(environment)))
    except CommandError:  # Slurm forgets a job after some minutes
        print(f"hpcml: Slurm no longer knows job {job.label}: its cost is that of its slots", file=sys.stderr)
    measured = measured_from(order, slots, repeat, 0.0 if record is None else record.seconds)
    if record is None:
        return replace(measured, wall=measured.seconds + measured.start, job=job.label)
    return replace(
        measured,
        cpus=record.cpus,
        nodes=record.nodes,
        gpus=record.gpus,
        billing=record.billing,
        job=job.label,
    )

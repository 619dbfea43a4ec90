"""`hpcml.submit`: one function in a Slurm job of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hpcml.cluster.jobs.folder import data_directory, folder_label, jobs_directory, new_folder
from hpcml.cluster.jobs.job import Job
from hpcml.cluster.jobs.packing import pack_call, script_state
from hpcml.cluster.jobs.requests import make_request, repeatable, with_signal
from hpcml.cluster.jobs.scheduler import current_scheduler, withdraw
from hpcml.data.envelope import name_of
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.site import read_site

__all__ = ["submit"]


def submit(fn: Callable[..., Any], /, *args: Any, max_requeues: int = 3, **options: Any) -> Job:
    """Submit ``fn(*args)`` as a Slurm job, and return the job, a future.

    In the job, `fn` finds an open Cluster over the job's slots: ``hpcml.Cluster()`` joins it, and joblib uses it,
    as in a script of ``hpcml run``. Prints go to the job's log. Working directory, environment and ``sys.path``
    are those of this call. Without Slurm, the job is a process of this computer.

    Parameters
    ----------
    fn, args
        Function and arguments; keyword arguments are given with `functools.partial`. Content of more than 1 MB is
        written once for all jobs with it, in ``.hpcml/jobs/data``.
    max_requeues
        Near its time limit, a job whose Cluster has run tasks, or whose function has a ``checkpoint`` method as
        submitit's, goes back to the queue so often, and continues: tasks that have ended are not run again.
    **options
        Options of sbatch, with underscores: ``nodes=4, ntasks_per_node=28, time="1:00:00", partition="main"``.
        True stands for an option without a value.

    Raises
    ------
    TaskError
        `fn` or an argument cannot be pickled; the message names the object.
    SubmissionError
        Slurm refuses the job, or no node can run it; the message has the reason.
    HpcmlError
        There is no such option, or the working directory cannot be used.

    Examples
    --------
    >>> import hpcml
    >>> hpcml.submit(pow, 2, 3, nodez=2)  # doctest: +SKIP
    Traceback (most recent call last):
        ...
    hpcml.errors.HpcmlError: hpcml.submit has no option nodez: did you mean nodes? ...
    """
    if not callable(fn):
        raise HpcmlError(f"hpcml.submit({fn!r}, …): the first argument is the function, and {fn!r} is none")
    if max_requeues < 0:
        raise HpcmlError(f"hpcml.submit(max_requeues={max_requeues}): it must be 0 or more")
    scheduler = current_scheduler()
    site = read_site(scheduler.environment)
    name = name_of(fn)
    given = {"job_name": folder_label(name), **options}
    request = with_signal(repeatable(make_request(given, site, scheduler.known_options, "hpcml.submit")))
    jobs = jobs_directory(Path.cwd())
    folder = new_folder(jobs, name)
    try:
        call = pack_call(fn, args, data_directory(jobs), script_state(scheduler.environment))
        folder.write("call", call)
        folder.write("max-requeues", str(max_requeues).encode())
        (id,) = scheduler.submit(request, folder)
    except BaseException:
        withdraw(folder, scheduler)
        raise
    return Job._submitted(id, folder, scheduler)

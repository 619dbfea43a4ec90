"""Commands to Slurm, as lists of words: steps of srun, sbcast, and questions about a job.

Each option that an inner srun would read from its environment is on its command line instead, and its variable is
dropped: these variables describe the outer job, and differ between versions (srun(1), INPUT ENVIRONMENT VARIABLES;
RELEASE_NOTES of Slurm 20.11, 22.05, 23.11).
"""

import re
from collections.abc import Mapping, Sequence

__all__ = [
    "accounting_query",
    "cancel",
    "cancel_pending",
    "configuration_query",
    "controller_step",
    "driver_step",
    "end_time_query",
    "job_record",
    "job_state_query",
    "mpi_plugins_query",
    "own_jobs_query",
    "partition_query",
    "requeue",
    "sbcast",
    "signal_step",
    "step_environment",
    "submission_environment",
    "submit",
    "time_left_query",
    "user_limits_query",
    "worker_step",
]

# Variables that are kept: they name the job and the cluster. srun reads some of them.
_KEPT = re.compile(
    r"SLURM_(JOB_ID|JOBID|JOB_NODELIST|NODELIST|JOB_NUM_NODES|NNODES|CONF|CLUSTERS?|CLUSTER_NAME|STEPMGR"
    r"|HET_SIZE|(JOB_ID|JOB_NODELIST|NODELIST|JOB_NUM_NODES|NNODES)_HET_GROUP_\d+|SUBMIT_DIR|SUBMIT_HOST"
    r"|ARRAY_(JOB_ID|TASK_(ID|COUNT|MIN|MAX|STEP))"
    r"|JOB_CPUS_PER_NODE|TASKS_PER_NODE|JOB_PARTITION|JOB_NAME|JWT|SACK_JWKS)$"
)
_DROPPED = {"SLURM_NNODES", "SLURM_TASKS_PER_NODE"}
SLURM_FAILED = 113  # exit code of srun's own failures, which the programs of a step do not use


def step_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without the variables that would change an inner srun.

    Examples
    --------
    >>> from hpcml.slurm.commands import step_environment
    >>> step_environment({"PATH": "/bin", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "12"})
    {'PATH': '/bin', 'SLURM_JOB_ID': '7', 'SLURM_EXIT_ERROR': '113'}
    """
    kept = {
        name: value
        for name, value in env.items()
        if not name.startswith(("SLURM_", "SRUN_", "SBATCH_", "SALLOC_", "PMI_", "PMIX_"))
        or (_KEPT.match(name) and name not in _DROPPED)
    }
    return {**kept, "SLURM_EXIT_ERROR": str(SLURM_FAILED)}


def submission_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` for commands about other jobs: without the variables of the job that this process is in.

    ``SBATCH_*`` variables stay, for they are the user's own defaults.

    Examples
    --------
    >>> from hpcml.slurm.commands import submission_environment
    >>> submission_environment({"SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/slurm.conf", "SBATCH_QOS": "long"})
    {'SLURM_CONF': '/etc/slurm.conf', 'SBATCH_QOS': 'long'}
    """
    return {
        name: value
        for name, value in env.items()
        if not name.startswith(
            ("SLURM_", "SLURMD_", "SALLOC_", "SRUN_", "SQUEUE_", "SINFO_", "SACCT_", "PMI_", "PMIX_")
        )
        or name in ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_JWT", "SLURM_SACK_JWKS")
    }


def _step(
    nodes: Sequence[str], name: str, het_group: int | None, together: bool = False, mpi: str = "none"
) -> list[str]:
    """Return the options of all steps: one task a node, which shares the CPUs and memory of other steps."""
    ends = ["--kill-on-bad-exit=1", "--wait=0"] if together else ["--kill-on-bad-exit=0", "--wait=0", "--no-kill"]
    group = [] if het_group is None else [f"--het-group={het_group}"]
    return [
        "srun",
        *group,
        f"--job-name={name}",
        "--overlap",
        "--mem=0",
        "--cpu-bind=none",
        f"--nodes={len(nodes)}",
        f"--ntasks={len(nodes)}",
        "--ntasks-per-node=1",
        f"--nodelist={','.join(nodes)}",
        *ends,
        f"--mpi={mpi}",
        "--export=ALL",
        "--quit-on-interrupt",
    ]


def worker_step(
    nodes: Sequence[str],
    program: Sequence[str],
    het_group: int | None = None,
    *,
    together: bool = False,
    mpi: str = "none",
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command of the step that runs `program` once on each of `nodes`, on all its CPUs.

    With `together` the whole step ends when a node is lost or its program fails. `mpi` is Slurm's plugin for MPI.
    `options` are srun's, too.

    srun sends its standard input to every task, and labels standard output and error with the number of the task,
    which is that of the node in `nodes`. Lines of up to 1,015 bytes stay whole: with ``--unbuffered``, srun would
    put labels and line ends into lines that follow each other quickly.
    """
    return [*_step(nodes, "hpcml-workers", het_group, together, mpi), "--label", *options, *program]


def controller_step(
    node: str, program: Sequence[str], het_group: int | None = None, options: Sequence[str] = ()
) -> list[str]:
    """Return the command of the step that runs `program` on `node`, without a GPU."""
    return [*_step([node], "hpcml-controller", het_group), "--gres=none", *options, *program]


def driver_step(
    node: str, program: Sequence[str], het_group: int | None = None, options: Sequence[str] = ()
) -> list[str]:
    """Return the command of the step that runs the user's script in a container on `node`, on all its CPUs."""
    step = _step([node], "hpcml-driver", het_group)
    step.remove("--quit-on-interrupt")  # the script ends in order
    return [*step, *options, *program]


def sbcast(step: str, source: str, target: str, nbytes: int) -> list[str]:
    """Return the command that copies a file of `nbytes` bytes to `target` on each node of ``job.step``.

    sbcast keeps up to six blocks in memory, of 8 MB each by default: more than a tenth of a file of 400 MB.

    Examples
    --------
    >>> from hpcml.slurm.commands import sbcast
    >>> sbcast("7.0", "/tmp/data", "/dev/shm/data", 10**8)
    ['sbcast', '--jobid=7.0', '--force', '--size=1250000', '/tmp/data', '/dev/shm/data']
    """
    block = min(max(nbytes // 80, 1 << 20), 8 << 20)
    return ["sbcast", f"--jobid={step}", "--force", f"--size={block}", source, target]


def mpi_plugins_query() -> list[str]:
    """Return the command that prints Slurm's plugins for MPI; see `hpcml.engines.nodes.mpi_plugin`."""
    return ["srun", "--mpi=list"]


def _row_query(job: str, field: str) -> list[str]:
    """Return the command that prints a field of a job after its ids, see `hpcml.slurm.job_ids.value_of_job`."""
    return ["squeue", "--noheader", f"--jobs={job}", f"--format=%i|%A|{field}"]


def job_state_query(job: str) -> list[str]:
    """Return the command that prints a job's state, see `_row_query`; no row when the job has ended."""
    return _row_query(job, "%T")


def time_left_query(job: str) -> list[str]:
    """Return the command that prints the time that a job has left, see `_row_query`."""
    return _row_query(job, "%L")


def own_jobs_query(fields: str) -> list[str]:
    """Return the command that prints `fields` of this user's jobs, see `hpcml.slurm.jobs.states.parse_jobs`."""
    return ["squeue", "--noheader", "--me", "--states=all", f"--Format={fields}"]


def job_record(job: str) -> list[str]:
    """Return the command that prints Slurm's record of a job, which it forgets minutes after the job's end."""
    return ["scontrol", "--oneliner", "show", "job", job]


def accounting_query(jobs: Sequence[str]) -> list[str]:
    """Return the command that prints how jobs have ended, see `hpcml.slurm.jobs.states.parse_accounting`."""
    options = ["--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode"]
    return ["sacct", *options, f"--jobs={','.join(jobs)}"]


def partition_query() -> list[str]:
    """Return the command that prints partitions and their nodes; see `hpcml.slurm.jobs.partitions`."""
    return ["sinfo", "--noheader", "--exact", "--format=%P|%a|%l|%D|%c|%m|%G|%s"]


def user_limits_query(user: str) -> list[str]:
    """Return the command that prints ``account|qos,…`` for each association of a user (sacctmgr(1))."""
    return ["sacctmgr", "--noheader", "--parsable2", "show", "associations", f"user={user}", "format=account,qos"]


def submit(options: Sequence[str], script: str) -> list[str]:
    """Return the command that submits a job file, and prints the job's number."""
    return ["sbatch", "--parsable", *options, script]


def cancel(jobs: Sequence[str]) -> list[str]:
    """Return the command that cancels jobs, and mentions those that there are not."""
    return ["scancel", "--verbose", *jobs]


def signal_step(step: str, name: str) -> list[str]:
    """Return the command that sends a signal to the processes of a step, named as ``job.step``.

    Examples
    --------
    >>> from hpcml.slurm.commands import signal_step
    >>> signal_step("7.0", "TERM")
    ['scancel', '--signal=TERM', '7.0']
    """
    return ["scancel", f"--signal={name}", step]


def cancel_pending(jobs: Sequence[str]) -> list[str]:
    """Return the command that cancels those of the jobs that have not started."""
    return ["scancel", "--state=PENDING", *jobs]


def configuration_query() -> list[str]:
    """Return the command that prints Slurm's configuration; see `hpcml.slurm.queries.parse_array_size`."""
    return ["scontrol", "show", "config"]


def end_time_query(job: str) -> list[str]:
    """Return the command that prints when a job will end, see `_row_query`, in all versions of Slurm."""
    return _row_query(job, "%e")


def requeue(job: str) -> list[str]:
    """Return the command that ends a batch job and puts it back in the queue.

    `job` is the job's `hpcml.slurm.job_ids.exact_job_id`: the id of an array puts all elements back.
    """
    return ["scontrol", "requeue", job]

"""Commands to Slurm, as lists of words: what is typed to start a step, and to ask for the end time.

Everything an inner srun would read from its environment is said on its command line instead, and the
variables are dropped: they describe the outer job, and differ between versions (srun(1), INPUT
ENVIRONMENT VARIABLES; shared facts in Slurm's RELEASE_NOTES 20.11, 22.05, 23.11).
"""

import re
from collections.abc import Mapping, Sequence

__all__ = [
    "controller_step",
    "end_time_query",
    "job_state_query",
    "requeue",
    "sbcast",
    "step_environment",
    "time_left_query",
    "worker_step",
]

# Kept although srun reads them: they say which job and which cluster.
_KEPT = re.compile(
    r"SLURM_(JOB_ID|JOBID|JOB_NODELIST|NODELIST|JOB_NUM_NODES|NNODES|CONF|CLUSTERS?|CLUSTER_NAME|STEPMGR"
    r"|HET_SIZE|(JOB_ID|JOB_NODELIST|NODELIST|JOB_NUM_NODES|NNODES)_HET_GROUP_\d+|SUBMIT_DIR|SUBMIT_HOST"
    r"|JOB_CPUS_PER_NODE|TASKS_PER_NODE|JOB_PARTITION|JOB_NAME|JWT|SACK_JWKS)$"
)
_DROPPED_EVEN_SO = {"SLURM_NNODES", "SLURM_TASKS_PER_NODE"}
SLURM_FAILED = 113  # the exit code by which srun's own failures differ from those of tasks


def step_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return `env` without what would steer an inner srun.

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
        or (_KEPT.match(name) and name not in _DROPPED_EVEN_SO)
    }
    return {**kept, "SLURM_EXIT_ERROR": str(SLURM_FAILED)}


def _step(nodes: Sequence[str], name: str, het_group: int | None, together: bool = False) -> list[str]:
    """Return what both kinds of step have in common: one task a node, sharing what other steps hold."""
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
        "--mpi=none",
        "--export=ALL",
        "--quit-on-interrupt",
    ]


def worker_step(
    nodes: Sequence[str], program: Sequence[str], het_group: int | None = None, *, together: bool = False
) -> list[str]:
    """Return the command of the step that runs `program` once on each of `nodes`, on all its CPUs.

    With `together` all of it ends when a node is lost or its program fails.

    Its standard input goes to every task, and its standard error is labelled with the task's number,
    which counts `nodes` in order. Lines of up to 1,015 bytes stay whole: with ``--unbuffered``, srun puts
    labels and line ends into lines that come quickly, one after the other.
    """
    return [*_step(nodes, "hpcml-workers", het_group, together), "--label", *program]


def controller_step(node: str, program: Sequence[str], het_group: int | None = None) -> list[str]:
    """Return the command of the step that runs `program` on `node`, taking no GPU from others."""
    return [*_step([node], "hpcml-controller", het_group), "--gres=none", *program]


def sbcast(step: str, source: str, target: str, nbytes: int) -> list[str]:
    """Return the command that copies a file of so many bytes to `target` on each node of ``job.step``.

    sbcast holds up to six blocks of, by default, 8 MB each in memory: more than a tenth of a file of 400 MB.

    Examples
    --------
    >>> from hpcml.slurm.commands import sbcast
    >>> sbcast("7.0", "/tmp/data", "/dev/shm/data", 10**8)
    ['sbcast', '--jobid=7.0', '--force', '--size=1250000', '/tmp/data', '/dev/shm/data']
    """
    block = min(max(nbytes // 80, 1 << 20), 8 << 20)
    return ["sbcast", f"--jobid={step}", "--force", f"--size={block}", source, target]


def job_state_query(job: str) -> list[str]:
    """Return the command that prints a job's state, or nothing when the job has ended."""
    return ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]


def time_left_query(job: str) -> list[str]:
    """Return the command that prints the time that a job has left, see `hpcml.slurm.queries.parse_time_left`."""
    return ["squeue", "--noheader", f"--jobs={job}", "--format=%L"]


def end_time_query(job_id: int) -> list[str]:
    """Return the command that prints when a job will end, in all versions of Slurm."""
    return ["squeue", "--noheader", f"--jobs={job_id}", "--Format=EndTime"]


def requeue(job: str) -> list[str]:
    """Return the command that ends a batch job and puts it back in the queue."""
    return ["scontrol", "requeue", job]

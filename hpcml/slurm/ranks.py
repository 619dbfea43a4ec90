"""Commands of steps of ranks, as lists of words; see `hpcml.slurm.commands` for those of other steps."""

from collections.abc import Mapping, Sequence

from hpcml.slurm.gpus import JobGpus

__all__ = ["rank_step", "training_step"]


def rank_step(
    nodes: Sequence[str],
    program: Sequence[str],
    het_group: int | None = None,
    *,
    mpi: str,
    options: Sequence[str] = (),
) -> list[str]:
    """Return the command of the step that runs `program` as ranks of MPI, rank by rank on `nodes`.

    A node is there once for each of its ranks. Without the list, Slurm would spread them by rules of its own.

    Examples
    --------
    >>> from hpcml.slurm.ranks import rank_step
    >>> rank_step(["n1", "n1", "n2"], ["hold"], mpi="pmix")[6:10]
    ['--ntasks=3', '--overcommit', '--distribution=arbitrary', '--nodelist=n1,n1,n2']
    """
    group = [] if het_group is None else [f"--het-group={het_group}"]
    step = ["srun", *group, "--job-name=hpcml-ranks", "--overlap", "--mem=0", "--cpu-bind=none", "--gres=none"]
    ends = ["--kill-on-bad-exit=1", "--wait=0", "--input=none", f"--mpi={mpi}", "--export=ALL", "--label"]
    return [*step, *_places(nodes), *ends, *options, *program]


def _places(nodes: Sequence[str]) -> list[str]:
    # Without --nodes, which newer releases refuse together with this distribution.
    return [f"--ntasks={len(nodes)}", "--overcommit", "--distribution=arbitrary", f"--nodelist={','.join(nodes)}"]


def training_step(
    components: Mapping[int | None, Sequence[str]],
    program: Sequence[str],
    inputs: Sequence[str] = (),
    gpus: JobGpus | None = None,
) -> list[str]:
    """Return the command of the step that runs `program` as the ranks of a training program.

    Ranks see all GPUs of their node, and get what is written to srun. One that fails ends the step.

    Parameters
    ----------
    components
        The nodes of each component of a heterogeneous job, a node once for each of its ranks; ``{None: nodes}``
        for a job that is not.
    inputs
        A file for each component but the first: srun passes its standard input on to the first one only, as seen
        in Slurm 22.05 and 24.11.
    gpus
        The GPUs of the job; None: it has none, or they are not known.

    Examples
    --------
    >>> from hpcml.slurm.ranks import training_step
    >>> words = training_step({0: ["n1"], 1: ["n2", "n2"]}, ["train"], ["run/input-1"])
    >>> words[:2], [word for word in words if "nodelist" in word], words[-2:]
    (['srun', '--het-group=0'], ['--nodelist=n1', '--nodelist=n2,n2'], ['--input=run/input-1', 'train'])
    """
    step = ["--job-name=hpcml-training", "--overlap", "--mem=0", "--cpu-bind=none"]
    ends = ["--kill-on-bad-exit=1", "--wait=0", "--mpi=none", "--export=ALL", "--label"]
    words: list[str] = []
    for (number, nodes), path in zip(components.items(), ("", *inputs), strict=True):
        group = [] if number is None else [f"--het-group={number}"]
        files = [f"--input={path}"] if path else []
        asked = gpus.step_options(nodes) if gpus is not None else ()
        words += [":" if words else "srun", *group, *step, *_places(nodes), *asked, *ends, *files, *program]
    return words

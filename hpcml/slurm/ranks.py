"""Command of a step of ranks of MPI, as a list of words; see `hpcml.slurm.commands` for those of other steps."""

from collections.abc import Sequence

__all__ = ["rank_step"]


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
    # Without --nodes, which newer releases refuse together with this distribution.
    places = [f"--ntasks={len(nodes)}", "--overcommit", "--distribution=arbitrary"]
    places.append(f"--nodelist={','.join(nodes)}")
    step = ["srun", *group, "--job-name=hpcml-ranks", "--overlap", "--mem=0", "--cpu-bind=none", "--gres=none"]
    ends = ["--kill-on-bad-exit=1", "--wait=0", "--input=none", f"--mpi={mpi}", "--export=ALL", "--label"]
    return [*step, *places, *ends, *options, *program]

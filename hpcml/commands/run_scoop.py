"""``hpcml run --engine scoop``: its options, and the run from the plan to the exit status."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from hpcml.cluster.options import Options
from hpcml.engines.libraries import check_encryption
from hpcml.engines.nodes.granted import await_grant
from hpcml.engines.nodes.staged_python import staged
from hpcml.engines.plan import Plan, make_nodes, preloads, script_imports
from hpcml.engines.scoop.library import load
from hpcml.engines.scoop.origin import ending_signals, run_as_origin
from hpcml.engines.scoop.pool import Pool
from hpcml.engines.scoop.script import run_as_main
from hpcml.errors import EngineError
from hpcml.journal.runs import new_run_dir
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.containers import own_container

__all__ = ["plan_run", "refuse_options", "run_with_scoop"]

REFUSED = {
    "resume": "there is no journal. Save the state of the script, as DEAP's checkpoints do",
    "requeue": "there is no journal. Save the state of the script, as DEAP's checkpoints do",
    "task_timeout": "SCOOP cannot end a task. Use engine ipyparallel, or give the job a time limit",
    "min_slots": "SCOOP's pool is whole or not at all. Leave the nodes out that do not come: sbatch --exclude=…",
}


def refuse_options(arguments: argparse.Namespace) -> None:
    """Raise EngineError for an option that has no meaning with SCOOP."""
    for name, reason in REFUSED.items():
        if getattr(arguments, name):
            raise EngineError(f"--{name.replace('_', '-')} does not go with --engine scoop: {reason}")


def plan_run(
    arguments: argparse.Namespace, environment: Mapping[str, str], allocation: Allocation | None, cpus: int
) -> Plan:
    """Return the plan of a run; `cpus` are those of this computer, used where there is no allocation."""
    options = Options.from_arguments(vars(arguments))
    imports = script_imports(arguments.script.read_text(errors="replace"))
    return Plan(
        nodes=make_nodes(allocation, cpus, True, **options.of_slots),
        allocation=allocation,
        run_dir=new_run_dir(options.run_dir or Path(".hpcml"), allocation.label if allocation else "local"),
        environment=environment,
        timeout=options.timeout,
        preload=preloads(imports),
        stage_env=options.stage_env,
        container=own_container(),
    )


def run_with_scoop(arguments: argparse.Namespace, environment: Mapping[str, str], cpus: int) -> int:
    """Run a script as SCOOP's origin on a pool of its own; return its exit status.

    Raises
    ------
    EngineError
        An option has no meaning with SCOOP, SCOOP cannot be used, or the pool did not start.
    WorkerDied
        A worker ended, and the script did not get that error.
    """
    refuse_options(arguments)
    began = time.monotonic()
    check_encryption("scoop")
    library = load()
    plan = plan_run(arguments, environment, detect(environment), cpus)
    with (
        ending_signals(),
        staged(await_grant(plan)) as started,
        Pool(started, library, arguments.script, arguments.args) as pool,
    ):
        if arguments.progress:
            print(_opening_line(plan, time.monotonic() - began), file=sys.stderr, flush=True)
        return run_as_origin(library, pool.failure, lambda: run_as_main(arguments.script))


def _opening_line(plan: Plan, seconds: float) -> str:
    where = f"job {plan.allocation.label}" if plan.allocation else "this computer"
    names = [node.name for node in plan.nodes]
    hosts = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    slots = f"{plan.slots} slot" + ("s" if plan.slots != 1 else "")
    logs = f"; logs in {plan.run_dir}" if any(log.stat().st_size for log in plan.run_dir.glob("*.log")) else ""
    return f"hpcml: engine scoop, {slots} on {hosts} ({where}), ready in {seconds:.1f} s{logs}"

"""The command ``hpcml``: ``run`` a script on a Cluster, ``info`` on what is there, ``report`` on what was done."""

import argparse
import dataclasses
import datetime
import json
import os
import runpy
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hpcml import engines
from hpcml.allocation import Allocation, detect
from hpcml.cluster import Cluster, share
from hpcml.errors import CommandError, HpcmlError, OutOfTime
from hpcml.plan import preloads, script_imports
from hpcml.process import run
from hpcml.report.command import report_run
from hpcml.scoop_programs.serving import serving
from hpcml.session import usable_cpus
from hpcml.srun import end_time_query, parse_end_time

__all__ = ["describe", "main", "parser", "print_info", "run_script"]

INTERRUPTED = 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="hpcml", description="A Slurm allocation as Python workers.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    script = commands.add_parser("run", help="run a script with joblib's default backend on a Cluster")
    script.add_argument("--engine", default="auto", help=", ".join(("auto", *engines.LIBRARIES, "scoop")))
    script.add_argument("--slots-per-node", type=int, metavar="N", help="instead of Slurm's tasks per node")
    script.add_argument("--cpus-per-slot", type=int, metavar="N", help="instead of Slurm's CPUs per task")
    script.add_argument("--min-slots", type=int, metavar="N", help="start when so many workers have come")
    script.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for the start (60)")
    script.add_argument("--run-dir", type=Path, metavar="DIR", help="where logs go (.hpcml)")
    script.add_argument("--resume", action="store_true", help="go on with this script's last run, if there is one")
    script.add_argument("--requeue", action="store_true", help="requeue the job when its time is over; --resume")
    script.add_argument("--task-timeout", type=float, metavar="S", help="seconds that one task may run")
    script.add_argument("--quiet", action="store_true", help="no progress and no closing line")
    script.add_argument("script", type=Path)
    script.add_argument("args", nargs=argparse.REMAINDER, help="what the script finds in sys.argv")
    script.set_defaults(act=run_script)
    info = commands.add_parser("info", help="print what was detected")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(act=print_info)
    told = commands.add_parser("report", help="tell what a run has done, and what to ask for next time")
    told.add_argument("run", type=Path, nargs="?", help="its directory; by default the last in .hpcml")
    told.add_argument("--json", action="store_true", help="as JSON")
    told.add_argument("--html", type=Path, metavar="FILE", help="as a page with pictures")
    told.set_defaults(act=lambda arguments: report_run(arguments.run, arguments.json, arguments.html))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` and return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.act(arguments)
        return status
    except (HpcmlError, ValueError) as error:
        print(f"hpcml: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def run_script(arguments: argparse.Namespace) -> int:
    """Run a script as ``__main__`` on an open Cluster; return the script's exit status."""
    from joblib import parallel_config

    script: Path = arguments.script
    if script.is_dir():
        raise HpcmlError(f"{script} is a directory: give the script in it that should run")
    if not script.is_file():
        raise HpcmlError(f"there is no script {script} in {Path.cwd()}: check its path")
    sys.argv = [str(script), *arguments.args]  # also what the script's runs are remembered by
    if arguments.engine == "scoop":
        from hpcml.engines.scoop.command import run_with_scoop

        return run_with_scoop(arguments, os.environ, usable_cpus(), _run_as_main)
    imports = script_imports(script.read_text(errors="replace"))
    cluster = Cluster(
        arguments.engine,
        slots_per_node=arguments.slots_per_node,
        cpus_per_slot=arguments.cpus_per_slot,
        min_slots=arguments.min_slots,
        timeout=arguments.timeout,
        run_dir=arguments.run_dir,
        resume=arguments.resume,
        requeue=arguments.requeue,
        task_timeout=arguments.task_timeout,
        preload=preloads([*imports, *sys.modules]),
        progress=not arguments.quiet,
    )
    share(cluster)
    with cluster, parallel_config("hpcml", n_jobs=-1), serving():
        status = _run_as_main(script)
        cluster.shutdown(cancel_futures=status != 0)
    return status


def _run_as_main(script: Path) -> int:
    """Run the script as python would: its folder first on the path, its own traceback, its exit status."""
    before = set(threading.enumerate())
    if not sys.flags.safe_path:
        sys.path[0] = str(script.resolve().parent)  # python puts it where it had put our own folder
    try:
        runpy.run_path(str(script), run_name="__main__")
        _join_threads(before)
    except SystemExit as leaving:
        return _exit_status(leaving.code)
    except KeyboardInterrupt:
        print("hpcml: interrupted", file=sys.stderr)
        return INTERRUPTED
    except OutOfTime as error:
        print(f"hpcml: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL
    except BaseException as error:
        traceback.print_exception(_without_runner(error))
        return 1
    return 0


def _join_threads(before: set[threading.Thread]) -> None:
    """Wait for the threads that the script has left running, as python does at its end."""
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon and not type(thread).__module__.startswith("loky"):  # those are the workers'
            thread.join()


def _exit_status(code: object) -> int:
    """Return the status of ``sys.exit(code)``, as the interpreter gives it."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


def _without_runner(error: BaseException) -> BaseException:
    """Drop hpcml's and runpy's own lines from the top of a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        trace = trace.tb_next
    return error.with_traceback(trace)


def print_info(arguments: argparse.Namespace) -> int:
    """Print the allocation, or what takes its place outside Slurm."""
    allocation = detect(os.environ)
    facts = describe(allocation)
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return 0
    from tabulate import tabulate

    nodes = facts.pop("nodes")
    known = [(name.replace("_", " "), value) for name, value in facts.items() if value is not None]
    print(tabulate(known, tablefmt="plain"))
    print()
    print(tabulate([list(node.values()) for node in nodes], [key.replace("_", " ") for key in nodes[0]]))
    return 0


def describe(allocation: Allocation | None) -> dict[str, Any]:
    """Return what ``hpcml info`` shows, as plain data."""
    if allocation is None:
        cpus = usable_cpus()
        node = {"name": os.uname().nodename, "slots": cpus, "cpus_per_slot": 1, "cpus": cpus}
        return {"slurm": False, "engine": "local", "slots": cpus, "nodes": [node]}
    facts = dataclasses.asdict(allocation)
    facts["end_time"] = _local_time(allocation.end_time or _asked_end_time(allocation.job_id))
    nodes = facts.pop("nodes")
    return {
        "slurm": True,
        "engine": "ipyparallel",
        "job": allocation.label,
        "slots": allocation.slots,
        **facts,
        "nodes": list(nodes),
    }


def _asked_end_time(job_id: int) -> float | None:
    """Ask Slurm: its variables tell the end only from 23.02 on."""
    try:
        return parse_end_time(run(end_time_query(job_id), timeout=10))
    except CommandError:
        return None


def _local_time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")


if __name__ == "__main__":
    sys.exit(main())

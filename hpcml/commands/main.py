"""The command ``hpcml``: ``run`` a script on a Cluster, ``info`` on what is there, ``report`` on what was done.

`hpcml run` becomes another Python at once, so what the other commands need is imported by them.
"""

import argparse
import dataclasses
import datetime
import importlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcml.cluster.options import Options, flags
from hpcml.errors import HpcmlError
from hpcml.interpreter import interpreter_options, program_command, program_environment

if TYPE_CHECKING:
    from hpcml.slurm.allocation import Allocation

__all__ = ["describe", "main", "parser", "print_info", "run_script"]

INTERRUPTED = 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="hpcml", description="A Slurm allocation as Python workers.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    script = commands.add_parser("run", help="run a script with joblib's default backend on a Cluster")
    _add_options(script)
    _add_program(script)
    script.set_defaults(act=run_script)
    info = commands.add_parser("info", help="print what was detected")
    info.add_argument("--json", action="store_true", help="as JSON")
    info.set_defaults(act=print_info)
    told = commands.add_parser("report", help="tell what a run has done, and what to ask for next time")
    told.add_argument("run", type=Path, nargs="?", help="its directory; by default the last in .hpcml")
    told.add_argument("--json", action="store_true", help="as JSON")
    told.add_argument("--html", type=Path, metavar="FILE", help="as a page with pictures")
    told.set_defaults(act=_print_report)
    return top


def _add_options(command: argparse.ArgumentParser) -> None:
    """Have `command` take the options of a Cluster that have flags."""
    for name, flag in flags().items():
        default = getattr(Options, name)
        words = f"--{(flag.name or name).replace('_', '-')}"
        if flag.convert is None:
            action = "store_false" if default else "store_true"
            command.add_argument(words, dest=name, action=action, help=flag.help)
        else:
            command.add_argument(
                words, dest=name, type=flag.convert, default=default, metavar=flag.metavar, help=flag.help
            )


def _add_program(command: argparse.ArgumentParser) -> None:
    """Have `command` end in a program, as Python's command line does."""
    command.usage = "hpcml run [option] ... [-m module | -c code | script | -] [arg] ..."
    for option, what in (("-m", "a module"), ("-c", "code")):
        command.add_argument(
            option, dest="program", action=_Program, nargs=argparse.REMAINDER, help=f"run {what}, as Python does"
        )
    script = command.add_argument("script", nargs=None, help="what to run; - is standard input")
    words = command.add_argument("args", nargs=argparse.REMAINDER, help="what the program finds in sys.argv")
    script.required = words.required = False  # for -m and -c take all that follows


class _Program(argparse.Action):
    """Takes all words from ``-m`` or ``-c`` on."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        if not values:
            parser.error(f"argument {option}: expected one argument")
        namespace.program = [option, *values]


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
    """Become the Python that runs a program on an open Cluster; return only where that cannot begin.

    Raises
    ------
    HpcmlError
        There is no such script, or its interpreter could not open a Cluster.
    """
    program = arguments.program or [arguments.script, *arguments.args]
    if program[0] is None:
        raise HpcmlError("there is nothing to run: type `hpcml run script.py`, or -m module, -c code, or -")
    if program[0] not in ("-m", "-c", "-"):
        _check_script(Path(program[0]))
    if arguments.engine == "scoop":
        return _run_with_scoop(arguments, program)
    options = interpreter_options(sys.orig_argv)
    order = {"words": len(program), "options": _cluster_options(arguments)}
    command = program_command(sys.executable, sys.orig_argv, program)
    os.execve(sys.executable, command, program_environment(os.environ, options, order))


def _check_script(script: Path) -> None:
    if not script.exists():
        raise HpcmlError(f"there is no script {script} in {Path.cwd()}: check its path")
    if script.is_dir() and not (script / "__main__.py").is_file():
        raise HpcmlError(f"{script} is a directory without a __main__.py: give the script in it that should run")


def _cluster_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the Cluster, as JSON has them."""
    given = {name: getattr(arguments, name) for name in flags()}
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


def _run_with_scoop(arguments: argparse.Namespace, program: list[str]) -> int:
    from hpcml.cluster.session import usable_cpus
    from hpcml.commands.run_scoop import run_with_scoop

    if program[0] in ("-m", "-c", "-"):
        raise HpcmlError(f"engine 'scoop' runs scripts only, for its workers read them too: {program[0]} is none")
    importlib.import_module("hpcml.public")  # for the script, which runs in this process
    sys.argv = program
    arguments.script = Path(program[0])
    return run_with_scoop(arguments, os.environ, usable_cpus())


def _print_report(arguments: argparse.Namespace) -> int:
    from hpcml.commands.report.command import report_run

    return report_run(arguments.run, arguments.json, arguments.html)


def print_info(arguments: argparse.Namespace) -> int:
    """Print the allocation, or what takes its place outside Slurm."""
    from hpcml.slurm.allocation import detect

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


def describe(allocation: "Allocation | None") -> dict[str, Any]:
    """Return what ``hpcml info`` shows, as plain data."""
    if allocation is None:
        from hpcml.cluster.session import usable_cpus

        cpus = usable_cpus()
        node = {"name": os.uname().nodename, "slots": cpus, "cpus_per_slot": 1, "cpus": cpus}
        return {"slurm": False, "engine": "local", "slots": cpus, "nodes": [node]}
    from hpcml.slurm.queries import end_time

    facts = dataclasses.asdict(allocation)
    facts["end_time"] = _local_time(allocation.end_time or end_time(allocation.job_id))  # no variable before 23.02
    nodes = facts.pop("nodes")
    return {
        "slurm": True,
        "engine": "ipyparallel",
        "job": allocation.label,
        "slots": allocation.slots,
        **facts,
        "nodes": list(nodes),
    }


def _local_time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")


if __name__ == "__main__":
    sys.exit(main())

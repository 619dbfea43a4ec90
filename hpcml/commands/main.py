"""The command ``hpcml``: ``run`` a program on a Cluster, ``info`` on the allocation, ``report`` on a run.

Each sub-command is a module of its own. `hpcml run` becomes another Python at once, so the libraries that only
another sub-command needs are imported when that is called.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.commands import info, run
from hpcml.errors import HpcmlError

__all__ = ["main", "parser"]

INTERRUPTED = 128 + signal.SIGINT


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(prog="hpcml", description="A Slurm allocation as Python workers.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    program = commands.add_parser("run", help="run a script with joblib's default backend on a Cluster")
    run.add_arguments(program)
    program.set_defaults(act=run.run_program)
    facts = commands.add_parser("info", help="print the allocation that was detected")
    facts.add_argument("--json", action="store_true", help="as JSON")
    facts.set_defaults(act=info.print_info)
    report = commands.add_parser("report", help="report on a run, with advice for the next job")
    report.add_argument("run", type=Path, nargs="?", help="its directory; by default the last in .hpcml")
    report.add_argument("--json", action="store_true", help="as JSON")
    report.add_argument("--html", type=Path, metavar="FILE", help="as a page with pictures")
    report.set_defaults(act=_print_report)
    return top


def _print_report(arguments: argparse.Namespace, _: Mapping[str, str]) -> int:
    from hpcml.commands.report.command import report_run

    return report_run(arguments.run, arguments.json, arguments.html)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` and return the exit status."""
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.act(arguments, os.environ)
        return status
    except (HpcmlError, ValueError) as error:
        print(f"hpcml: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

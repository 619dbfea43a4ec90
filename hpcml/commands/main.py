"""The command ``hpcml``: ``run`` a program on a Cluster, ``submit`` one as a job, ``report`` on a run, and more.

Each sub-command is a module of its own. `hpcml run` becomes another Python at once, so the libraries that only
another sub-command needs are imported when that is called.
"""

import argparse
import importlib
import math
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpcml.commands import info, run
from hpcml.commands.argument_types import seconds, whole_number
from hpcml.commands.model_parsers import add_models, add_serve
from hpcml.errors import HpcmlError

__all__ = ["main", "parser"]

_POSITIVE = whole_number(1)
_SECONDS = seconds(0.1, 86_400)

WITH_OPTIONS_OF_SLURM = {
    "submit": ("hpcml.commands.jobs.submit", "submit_program"),
    "jupyter": ("hpcml.commands.jupyter.command", "start_jupyter"),
    "doctor": ("hpcml.commands.doctor.command", "doctor"),
}
"""Commands that take all their words themselves, by module and function."""
RUN = "its directory, or the number of its job; by default the last in .hpcml"
INTERRUPTED = 128 + signal.SIGINT


class _AnyOrder(argparse.ArgumentParser):
    """Parser of words and options in any order; argparse's own takes the words of a command at one place only."""

    _is_inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See `argparse.ArgumentParser`."""
        if self._is_inside:
            return super().parse_known_args(args, namespace)
        self._is_inside = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    words = argparse.ArgumentParser(prog="hpcml", description="A Slurm allocation as Python workers.")
    commands = words.add_subparsers(dest="command", required=True, metavar="COMMAND")
    program = commands.add_parser("run", help="run a script with joblib's default backend on a Cluster")
    run.add_arguments(program)
    program.set_defaults(act=run.run_program)
    facts = commands.add_parser("info", help="print the allocation that was detected")
    facts.add_argument("--json", action="store_true", help="as JSON")
    facts.set_defaults(act=info.print_info)
    commands.add_parser("doctor", help="find what will fail or be slow, in a job or on this host")
    report = commands.add_parser("report", help="report on a run, with advice for the next job")
    report.add_argument("run", nargs="?", help=RUN)
    report.add_argument("--json", action="store_true", help="as JSON")
    report.add_argument("--html", type=Path, metavar="FILE", help="as a page with pictures")
    report.add_argument("-f", "--follow", action="store_true", help="renew the page until the run ends")
    report.set_defaults(act=_print_report)
    top = commands.add_parser("top", help="show a run's slots and their tasks, while it goes on")
    top.add_argument("run", nargs="?", help=RUN)
    top.add_argument("--interval", type=_SECONDS, default=2.0, metavar="S", help="seconds between pictures (2)")
    top.add_argument("--once", action="store_true", help="one picture, with all slots")
    top.set_defaults(act=partial(_call, "hpcml.commands.top.command", "show_top"))
    _add_scaling(commands)
    _add_tutorial(commands)
    add_models(commands, _call)
    add_serve(commands, _call)
    _add_jobs(commands)
    return words


def _add_scaling(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    scaling = commands.add_parser(
        "scaling",
        help="run a script on several numbers of slots: speed-up, serial fraction, cost",
        epilog="An argument of the script that has {slots} gets their number: the work then grows with the slots.",
    )
    scaling.add_argument("--slots", type=_numbers, default=(1, 2, 4, 8), metavar="N,N,…", help="numbers (1,2,4,8)")
    scaling.add_argument("--repeat", type=_POSITIVE, default=5, metavar="N", help="runs on each number (5)")
    scaling.add_argument("--directory", type=Path, metavar="DIR", help="of the results (scaling-SCRIPT)")
    scaling.add_argument("--engine", default="auto", help="as of hpcml run")
    scaling.add_argument("--quality", metavar="RE", help="of a printed number, as 'accuracy (.*)'")
    scaling.add_argument("--seconds", metavar="RE", help="of a printed time to study, as 'epoch (.*) s'")
    scaling.add_argument("--prices", type=Path, metavar="FILE", help="prices of providers, in TOML")
    scaling.add_argument("--sbatch", metavar="OPTIONS", help="each run is a job with these options of sbatch")
    run.add_program(scaling, "scaling")
    scaling.set_defaults(act=partial(_call, "hpcml.commands.scaling.command", "study_scaling"))


def _add_tutorial(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    tutorial = commands.add_parser("tutorial", help="exercises and broken jobs: list, copy, check, grade")
    actions = tutorial.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=_AnyOrder, prog="hpcml tutorial"
    )
    found = {
        "list": actions.add_parser("list", help="list the exercises"),
        "start": actions.add_parser("start", help="copy an exercise into a new folder"),
        "check": actions.add_parser("check", help="run an exercise or a broken job, and grade its results"),
        "grade": actions.add_parser("grade", help="grade the results of a class, without a run"),
    }
    for name in ("start", "check"):
        found[name].add_argument("number", help="of the exercise, or the name of a broken job")
        found[name].add_argument("directory", nargs="?", type=Path, help="of the student's files")
    found["check"].add_argument("--no-run", action="store_true", help="grade the results that are there")
    found["check"].add_argument("--full", action="store_true", help="run without --quick")
    found["check"].add_argument("--sbatch", metavar="OPTIONS", help="submit a broken job, with options of sbatch")
    found["check"].add_argument("--schema", action="store_true", help="list the fields of the results")
    found["check"].add_argument("--timeout", type=_SECONDS, default=600.0, metavar="S", help="for the run (600)")
    found["grade"].add_argument("directories", nargs="+", type=Path, metavar="DIR", help="a student's folder each")
    found["grade"].add_argument("--csv", type=Path, metavar="FILE", help="the table as CSV")
    functions = ("list_exercises", "start_exercise", "check_exercise", "grade_class")
    for action, function in zip(found.values(), functions, strict=True):
        action.set_defaults(act=partial(_call, "hpcml.commands.tutorial.command", function))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_POSITIVE(word) for word in text.split(",")}))


def _add_jobs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands about jobs; `main` takes the words of ``hpcml submit``, for it has sbatch's options too."""
    commands.add_parser("submit", help="submit a script as a job, with sbatch's options")
    commands.add_parser("jupyter", help="start JupyterLab in a job, with sbatch's options")
    jobs = commands.add_parser("jobs", help="list your jobs: why they wait, time left, tasks done")
    jobs.add_argument(
        "jobs", nargs="*", metavar="JOB", help="these jobs; by default all that run, wait, or ended today"
    )
    jobs.add_argument("--json", action="store_true", help="as JSON")
    logs = commands.add_parser("logs", help="print the output of a job")
    logs.add_argument("job", metavar="JOB", help="its number")
    logs.add_argument("-f", "--follow", action="store_true", help="as it is written, until the job ends")
    wait = commands.add_parser("wait", help="wait for the end of jobs, and exit with their status")
    wait.add_argument("jobs", nargs="+", metavar="JOB", help="their numbers")
    wait.add_argument("--timeout", type=float, default=math.inf, metavar="S", help="exit with 124 after S seconds")
    cancel = commands.add_parser("cancel", help="cancel jobs")
    cancel.add_argument("jobs", nargs="+", metavar="JOB", help="their numbers")
    for parser, module, function in (
        (jobs, "listing", "print_jobs"),
        (logs, "follow", "print_logs"),
        (wait, "follow", "wait"),
        (cancel, "follow", "cancel"),
    ):
        parser.set_defaults(act=partial(_call, f"hpcml.commands.jobs.{module}", function))


def _call(module: str, function: str, arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    status: int = getattr(importlib.import_module(module), function)(arguments, environment)
    return status


def _print_report(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    from hpcml.commands.jobs.runs import named_run
    from hpcml.commands.report.command import report_run

    run = named_run(arguments.run, environment)
    return report_run(run, arguments.json, arguments.html, arguments.follow)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` and return the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and words[0] in WITH_OPTIONS_OF_SLURM:
            module, function = WITH_OPTIONS_OF_SLURM[words[0]]
            return int(getattr(importlib.import_module(module), function)(words[1:], os.environ))
        arguments = parser().parse_args(words)
        status: int = arguments.act(arguments, os.environ)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has ended, as in `hpcml jobs | head`. Python must not fail when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (HpcmlError, ValueError) as error:
        print(f"hpcml: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())

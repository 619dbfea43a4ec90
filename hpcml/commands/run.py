"""``hpcml run``: becomes the Python that runs a program on an open Cluster, or starts it in a container.

That Python opens the Cluster before the program's first line; see `hpcml.commands.program_cluster`. With engine
scoop the script runs in this process; see `hpcml.commands.run_scoop`.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.cluster.options import Options, flags
from hpcml.commands.argument_types import whole_number
from hpcml.commands.program import check_program
from hpcml.commands.ranks import check_ranks, count_ranks
from hpcml.errors import HpcmlError
from hpcml.interpreter import interpreter_options, program_command, program_environment

__all__ = ["add_arguments", "add_program", "run_program"]


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the options of a Cluster that have flags, and the program with its arguments."""
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
    command.add_argument(
        "--restarts",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="engine torch: start anew after a failure (0)",
    )
    command.add_argument("--measure", type=os.path.abspath, help=argparse.SUPPRESS)  # by `hpcml scaling`
    command.add_argument("--inside", type=json.loads, help=argparse.SUPPRESS)  # by this command, in a container
    add_program(command, "run", "-")


def add_program(command: argparse.ArgumentParser, name: str, *others: str) -> None:
    """Add a program at the end of the command line of ``hpcml NAME``, as Python's own command line has it."""
    kinds = " | ".join(("-m module", "-c code", "script", *others))
    command.usage = f"hpcml {name} [option] ... [{kinds}] [arg] ..."
    for option, kind in (("-m", "a module"), ("-c", "code")):
        command.add_argument(
            option, dest="program", action=_Program, nargs=argparse.REMAINDER, help=f"run {kind}, as Python does"
        )
    standard_input = "; - is standard input" if others else ""
    script = command.add_argument("script", nargs=None, help=f"the script to run{standard_input}")
    words = command.add_argument(
        "args", nargs=argparse.REMAINDER, help="the arguments of the program, its sys.argv[1:]"
    )
    # With -m or -c there is no script, for they take all words that follow.
    script.required = False
    words.required = False


class _Program(argparse.Action):
    """Takes all words from ``-m`` or ``-c`` on."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[str] | None,
        option: str | None = None,
    ) -> None:
        if not values:
            parser.error(f"argument {option}: expected one argument")
        namespace.program = [option, *values]


def run_program(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Become the Python that runs a program on an open Cluster; return only from a container or with engine scoop.

    Raises
    ------
    HpcmlError
        There is no program, no such script, or this Python's options do not allow a Cluster.
    """
    program = arguments.program or ([] if arguments.script is None else [arguments.script, *arguments.args])
    check_program(program)
    if arguments.engine == "torch":
        return _run_with_torch(arguments, program, environment)
    if arguments.restarts:
        raise HpcmlError("--restarts is for ranks of engine 'torch': other engines replace workers that are lost")
    ranks = count_ranks(environment)
    if ranks > 1:
        check_ranks(ranks, arguments.engine, arguments.container or arguments.container_image)
    if arguments.inside is None and (arguments.container or arguments.container_image):
        from hpcml.commands.run_container import run_in_container

        return run_in_container(arguments, program, environment)
    if arguments.engine == "scoop":
        return _run_with_scoop(arguments, program, environment)
    options = interpreter_options(sys.orig_argv)
    order = {
        "words": len(program),
        "options": _cluster_options(arguments),
        "inside": arguments.inside,
        "ranks": ranks,
        "measure": arguments.measure,
    }
    command = program_command(sys.executable, sys.orig_argv, program)
    os.execve(sys.executable, command, program_environment(environment, options, order))


def _cluster_options(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the options of the Cluster, in types of JSON."""
    given = {name: getattr(arguments, name) for name in flags()}
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


def _run_with_torch(arguments: argparse.Namespace, program: list[str], environment: Mapping[str, str]) -> int:
    from hpcml.cluster.opening import usable_cpus
    from hpcml.commands.torch.command import run_with_torch
    from hpcml.commands.torch.here import become_rank, is_rank

    if is_rank(environment):
        return become_rank(arguments, program, environment)
    return run_with_torch(arguments, program, environment, usable_cpus())


def _run_with_scoop(arguments: argparse.Namespace, program: list[str], environment: Mapping[str, str]) -> int:
    from hpcml.cluster.opening import usable_cpus
    from hpcml.commands.run_scoop import run_with_scoop
    from hpcml.engines.container import enter_container

    if program[0] in ("-m", "-c", "-"):
        raise HpcmlError(f"engine 'scoop' runs scripts only, for its workers read them too: {program[0]} is none")
    if arguments.inside is not None:
        enter_container(arguments.inside)
    importlib.import_module("hpcml.public")  # for the script, which runs in this process
    sys.argv = program
    arguments.script = Path(program[0])
    return run_with_scoop(arguments, environment, usable_cpus())

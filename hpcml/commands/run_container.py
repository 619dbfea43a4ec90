"""``hpcml run --container``: starts the script's Python in a container, and serves Slurm's commands to it.

::

    hpcml run --container image.sif script.py      this process: a relay, which passes signals on
      └─ apptainer exec … image.sif python3 -m hpcml run --inside … script.py
           └─ srun, sbcast, squeue: by the relay, outside; srun starts `apptainer exec … python3` on the nodes
"""

import argparse
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpcml.cluster.options import Options, flags
from hpcml.data.staging.directories import DataDirectories
from hpcml.engines.container import make_container
from hpcml.errors import HpcmlError
from hpcml.interpreter import interpreter_options
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.commands import driver_step, step_environment
from hpcml.slurm.containers import Container
from hpcml.slurm.relay_server import Foreground, Relay

__all__ = ["contained_command", "job_variables", "run_in_container", "run_words"]

IMAGE_START = Path(__file__).with_name("image_start.py")
PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)


def run_words(arguments: argparse.Namespace) -> list[str]:
    """Return the options of `hpcml run` that were given.

    Examples
    --------
    >>> from hpcml.commands.main import parser
    >>> from hpcml.commands.run_container import run_words
    >>> run_words(parser().parse_args(["run", "--container", "ml.sif", "--resume", "s.py", "-x"]))
    ['--container=ml.sif', '--resume']
    """
    words = []
    for name, flag in flags().items():
        value = getattr(arguments, name)
        if value != getattr(Options, name):
            words.append(
                f"--{(flag.name or name).replace('_', '-')}" + ("" if flag.convert is None else f"={value}")
            )
    return words


def contained_command(
    container: Container,
    inside: Mapping[str, Any],
    options: Sequence[str],
    program: Sequence[str],
    job: Mapping[str, str],
) -> list[str]:
    """Return the command that runs `hpcml run` in a container.

    Parameters
    ----------
    inside
        See `hpcml.engines.container.enter_container`.
    options
        Those of `hpcml run`.
    program
        The user's program with its arguments.
    job
        Variables of the job, where a step of its own changes them.
    """
    python = interpreter_options(sys.orig_argv)
    run = ["-m", "hpcml", "run", f"--inside={json.dumps(inside)}", *options, *program]
    return [*container.command, container.python, "-c", IMAGE_START.read_text(), json.dumps(job), *python, *run]


def run_in_container(arguments: argparse.Namespace, program: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program in the container that the options name; return its exit status.

    Raises
    ------
    HpcmlError
        The container cannot be had, or not from this host.
    """
    options = Options.from_arguments(vars(arguments))
    allocation = detect(environment)
    directories = [os.getcwd(), *([str(options.run_dir)] if options.run_dir else [])]
    if program[0] not in ("-m", "-c", "-"):
        directories.append(os.path.dirname(os.path.abspath(program[0])))
    container = make_container(options, environment, allocation, directories)
    node = _launch_node(allocation) if container.step_options else ""
    private = DataDirectories(secrets.token_hex(8), ["/tmp"])
    try:
        relay = Relay(Path(private.paths[0], "relay"), environment)
        try:
            inside = {"relay": str(relay.path), "container": asdict(container)}
            job = job_variables(environment) if node else {}
            command = contained_command(container, inside, run_words(arguments), program, job)
            if node:
                command = driver_step(node, command, options=container.step_options)
                environment = step_environment(environment)
            with _passing_signals(Foreground(command, environment)) as child:
                return child.wait()
        finally:
            relay.close()
    finally:
        private.close()


def job_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return Slurm's variables of a job, without its key."""
    return {
        name: value for name, value in environment.items() if name.startswith("SLURM_") and name != "SLURM_JWT"
    }


def _launch_node(allocation: Allocation | None) -> str:
    """Return the node of this process: a step elsewhere would not reach the relay."""
    if allocation is None or allocation.launch_node is None:
        raise HpcmlError(
            "a script in a container of pyxis runs on a node of its job: type `hpcml submit --container-image …`, "
            "or start this in the shell of `srun --pty`"
        )
    return allocation.launch_node


@contextlib.contextmanager
def _passing_signals(child: Foreground) -> Iterator[Foreground]:
    """Pass signals on to the program; Ctrl-C in a terminal reaches that by itself."""
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: child.send_signal(received))
    if sys.stdin is not None and os.isatty(0):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield child

"""Interpreter of a user's program: its options, and the command and environment that start it anew."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hpcml.errors import HpcmlError

__all__ = [
    "interpreter_options",
    "program_command",
    "program_environment",
    "runs_command",
    "worker_options",
]

ORDER = "HPCML_RUN"  # variable that holds the order of `hpcml run` for the interpreter that it becomes
FOLDER = Path(__file__).parent / "commands" / "at_start"
_WORKER_OPTIONS = ("-b", "-B", "-O")
_DRIVER_X_OPTIONS = ("importtime", "showrefcount", "showalloccount", "perf", "presite")  # of -X; not for workers


def interpreter_options(words: Sequence[str]) -> list[str]:
    """Return the options of a Python command line, one by one: those before ``-m``, ``-c`` or a script.

    Examples
    --------
    >>> from hpcml.interpreter import interpreter_options
    >>> interpreter_options(["python", "-OBX", "utf8", "-Wignore", "-um", "hpcml", "run", "-v"])
    ['-O', '-B', '-X', 'utf8', '-W', 'ignore', '-u']
    """
    return _parse(words).options


class _CommandLine(NamedTuple):
    """Python command line: its options one by one, its options as they were written, and the program."""

    options: list[str]
    written: list[str]
    program: list[str]


def _parse(words: Sequence[str]) -> _CommandLine:
    options: list[str] = []
    written: list[str] = []
    left = list(words[1:])
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        number = 1 if word.startswith("--") else 0  # of the next words that belong to this one
        for place, letter in enumerate(word[1:] if not number else "", 2):
            if letter in "mc":
                written += [word[: place - 1]] if place > 2 else []
                joined = [word[place:]] if word[place:] else []
                return _CommandLine(options, written, [f"-{letter}", *joined, *left])
            options.append(f"-{letter}")
            if letter in "XW":
                number = 0 if word[place:] else 1
                options += [word[place:]] if word[place:] else left[:1]
                break
        options += [word, *left[:1]] if word.startswith("--") else []
        written += [word, *left[:number]]
        del left[:number]
    return _CommandLine(options, written, left)


def runs_command(words: Sequence[str]) -> bool:
    """Return whether a Python command line is the command `hpcml`, or a program of its folder ``commands``.

    Examples
    --------
    >>> from hpcml.interpreter import runs_command
    >>> lines = "python -Om hpcml run s.py", "python /bin/hpcml info", "python s.py run", "python -c hpcml"
    >>> [runs_command(line.split()) for line in lines]
    [True, True, False, False]
    """
    program = _parse(words).program
    if program[:1] == ["-m"]:
        return program[1:2] == ["hpcml"] or program[1].startswith(("hpcml.commands.", "hpcml.engines."))
    return bool(program) and os.path.basename(program[0]) == "hpcml"


def program_command(executable: str, words: Sequence[str], program: Sequence[str]) -> list[str]:
    """Return the command that runs `program` with the options of `words`, the command line of this Python.

    The options are written as in `words`. ``-E`` and ``-I`` are left out, for `program_environment` has their
    effect.

    Raises
    ------
    HpcmlError
        One option is ``-S``: without the module site, this library could not be imported.
    """
    line = _parse(words)
    options = line.options
    if "-S" in options:
        raise HpcmlError(
            "python -S has no site-packages, so `hpcml run` cannot open a Cluster there: leave -S out"
        )
    if "-E" not in options and "-I" not in options:
        return [executable, *line.written, *program]
    kept = [option for option in options if option not in ("-E", "-I")]
    return [executable, *kept, *(["-P", "-s"] if "-I" in options else []), *program]


def program_environment(
    environment: Mapping[str, str], options: Sequence[str], order: Mapping[str, object]
) -> dict[str, str]:
    """Return the variables for a program's interpreter; one of them holds `order` for its sitecustomize.

    ``at_start/sitecustomize.py`` restores all changed variables before the program's first line.

    Raises
    ------
    HpcmlError
        PYTHONPATH cannot hold the folder of this library.
    """
    folder = str(FOLDER)
    if os.pathsep in folder:
        raise HpcmlError(
            f"hpcml is installed in {FOLDER.parent}, and PYTHONPATH cannot hold a path with a {os.pathsep!r}: "
            "install it elsewhere"
        )
    ignored = "-E" in options or "-I" in options
    dropped = {name for name in environment if ignored and name.startswith("PYTHON")}
    changed = {"PYTHONPATH": environment.get("PYTHONPATH"), **{name: environment[name] for name in dropped}}
    given = {name: value for name, value in environment.items() if name not in dropped}
    before = given.get("PYTHONPATH")
    given["PYTHONPATH"] = folder if not before else f"{folder}{os.pathsep}{before}"
    given[ORDER] = json.dumps({**order, "environment": changed})
    return given


def worker_options(options: Sequence[str]) -> list[str]:
    """Return the options of an interpreter that workers need for the same results.

    ``-W`` is not among these: like ``PYTHONWARNINGS``, a filter for the script may be fatal to a library.

    Examples
    --------
    >>> from hpcml.interpreter import worker_options
    >>> worker_options(["-O", "-u", "-X", "utf8", "-W", "error"])
    ['-O', '-X', 'utf8']
    """
    kept: list[str] = []
    for option, value in itertools.pairwise([*options, ""]):
        if option in _WORKER_OPTIONS:
            kept.append(option)
        elif option == "-X" and value.partition("=")[0] not in _DRIVER_X_OPTIONS:
            kept += [option, value]
    return kept

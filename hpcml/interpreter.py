"""The interpreter that runs a user's program: the options it was started with, and how it is started anew."""

import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hpcml.errors import HpcmlError

__all__ = [
    "interpreter_options",
    "program_command",
    "program_environment",
    "runs_program",
    "worker_options",
]

ORDER = "HPCML_RUN"  # the variable that takes the order from `hpcml run` to the interpreter it becomes
FOLDER = Path(__file__).parent / "commands" / "at_start"
_FOR_WORKERS = ("-b", "-B", "-O")
_NOT_FOR_WORKERS = ("importtime", "showrefcount", "showalloccount", "perf", "presite")  # -X


def interpreter_options(words: Sequence[str]) -> list[str]:
    """Return the options of a Python command line, one by one: those before ``-m``, ``-c`` or a script.

    Examples
    --------
    >>> from hpcml.interpreter import interpreter_options
    >>> interpreter_options(["python", "-OBX", "utf8", "-Wignore", "-um", "hpcml", "run", "-v"])
    ['-O', '-B', '-X', 'utf8', '-W', 'ignore', '-u']
    """
    return _split(words).options


class _Split(NamedTuple):
    """A Python command line: its options one by one and as they were written, and the program."""

    options: list[str]
    written: list[str]
    program: list[str]


def _split(words: Sequence[str]) -> _Split:
    options: list[str] = []
    written: list[str] = []
    left = list(words[1:])
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        number = 1 if word.startswith("--") else 0  # of the words that follow and belong to it
        for place, letter in enumerate(word[1:] if not number else "", 2):
            if letter in "mc":
                written += [word[: place - 1]] if place > 2 else []
                return _Split(options, written, [f"-{letter}", *([word[place:]] if word[place:] else []), *left])
            options.append(f"-{letter}")
            if letter in "XW":
                number = 0 if word[place:] else 1
                options += [word[place:]] if word[place:] else left[:1]
                break
        options += [word, *left[:1]] if word.startswith("--") else []
        written += [word, *left[:number]]
        del left[:number]
    return _Split(options, written, left)


def runs_program(words: Sequence[str]) -> bool:
    """Tell whether a Python command line is `hpcml run`, by the command or by ``-m``.

    Examples
    --------
    >>> from hpcml.interpreter import runs_program
    >>> lines = "python -Om hpcml run s.py", "python /bin/hpcml run s.py", "python s.py run", "python -c run"
    >>> [runs_program(line.split()) for line in lines]
    [True, True, False, False]
    """
    program = _split(words).program
    if program[:1] == ["-m"]:
        return program[1:3] == ["hpcml", "run"]
    return bool(program) and os.path.basename(program[0]) == "hpcml" and program[1:2] == ["run"]


def program_command(executable: str, words: Sequence[str], program: Sequence[str]) -> list[str]:
    """Return the command that runs `program` with the options that `words`, Python's command line, begins with.

    They are the very words, but ``-E`` and ``-I`` are left out, for `program_environment` does what they do.

    Raises
    ------
    HpcmlError
        Without the module site nothing of this library would be there.
    """
    split = _split(words)
    options = split.options
    if "-S" in options:
        raise HpcmlError(
            "python -S has no site-packages, so `hpcml run` cannot open a Cluster there: leave -S out"
        )
    if "-E" not in options and "-I" not in options:
        return [executable, *split.written, *program]
    kept = [option for option in options if option not in ("-E", "-I")]
    return [executable, *kept, *(["-P", "-s"] if "-I" in options else []), *program]


def program_environment(
    environment: Mapping[str, str], options: Sequence[str], order: Mapping[str, Any]
) -> dict[str, str]:
    """Return the variables for a program's interpreter, in which `order` reaches ``at_start/sitecustomize.py``.

    What is changed for that, the program's interpreter changes back before the program's first line.

    Raises
    ------
    HpcmlError
        This library lies where Python's path cannot name it.
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
    """Return those of an interpreter's options that workers need for the same results.

    ``-W`` is not among them: as with ``PYTHONWARNINGS``, what is meant for the script may be fatal to a library.

    Examples
    --------
    >>> from hpcml.interpreter import worker_options
    >>> worker_options(["-O", "-u", "-X", "utf8", "-W", "error"])
    ['-O', '-X', 'utf8']
    """
    kept: list[str] = []
    for option, value in itertools.pairwise([*options, ""]):
        if option in _FOR_WORKERS:
            kept.append(option)
        elif option == "-X" and value.partition("=")[0] not in _NOT_FOR_WORKERS:
            kept += [option, value]
    return kept

"""Programs that a command line names: a script, ``-m`` and a module, ``-c`` and code, or ``-``."""

from collections.abc import Sequence
from pathlib import Path

from hpcml.errors import HpcmlError

__all__ = ["check_program"]


def check_program(program: Sequence[str]) -> None:
    """Raise HpcmlError where there is nothing to run, or no such script.

    Examples
    --------
    >>> from hpcml.commands.program import check_program
    >>> check_program(["-m", "this"])
    """
    if not program:
        raise HpcmlError("there is nothing to run: name a script, -m module, -c code, or -")
    if program[0] in ("-m", "-c", "-"):
        if program[0] != "-" and len(program) == 1:
            raise HpcmlError(f"{program[0]} needs a word after it: {'a module' if program[0] == '-m' else 'code'}")
        return
    script = Path(program[0])
    if not script.exists():
        raise HpcmlError(f"there is no script {script} in {Path.cwd()}: check its path")
    if script.is_dir() and not (script / "__main__.py").is_file():
        raise HpcmlError(f"{script} is a directory without a __main__.py: give the script in it that should run")

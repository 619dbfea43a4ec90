"""Job files: options of sbatch, lines that prepare the shell, and one command, as a readable text."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpcml.errors import HpcmlError

__all__ = ["JobScript"]

# Characters that sbatch reads as they are; other values are put between double quotes.
_PLAIN = re.compile(r"[\w.,:/@%+=\[\]*-]+", re.ASCII)


@dataclass(frozen=True)
class JobScript:
    """A job file of sbatch.

    Parameters
    ----------
    options
        Options of sbatch by their long names, without dashes; None for an option without a value.
    command
        The words of the command that replaces the shell, so that Slurm's signals reach that command.
    modules
        Environment modules to load, in order.
    setup
        A file of shell commands that is read before the command.
    lines
        More lines of shell before the command.

    Examples
    --------
    >>> from hpcml.slurm.jobs.script import JobScript
    >>> print(JobScript({"nodes": "2", "job-name": "my search"}, ("hpcml", "run", "my search.py")).text())
    #!/bin/bash
    #SBATCH --nodes=2
    #SBATCH --job-name="my search"
    exec hpcml run 'my search.py'
    <BLANKLINE>
    """

    options: Mapping[str, str | None]
    command: tuple[str, ...]
    modules: tuple[str, ...] = ()
    setup: str | None = None
    lines: tuple[str, ...] = field(default=())

    def text(self) -> str:
        """Return the content of the file.

        Raises
        ------
        HpcmlError
            The value of an option has a line end, which ``#SBATCH`` lines cannot hold.
        """
        prepared = [f"module load {shlex.quote(name)}" for name in self.modules]
        if self.setup is not None:
            prepared.append(f"source {shlex.quote(self.setup)}")
        return "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {_option_word(name, value)}" for name, value in self.options.items()),
                *prepared,
                *self.lines,
                f"exec {shlex.join(self.command)}",
                "",
            ]
        )

    def option_words(self) -> list[str]:
        """Return the options as words of sbatch's command line, which come before variables such as SBATCH_QOS."""
        return [f"--{name}" if value is None else f"--{name}={value}" for name, value in self.options.items()]


def _option_word(name: str, value: str | None) -> str:
    if value is None:
        return f"--{name}"
    if re.search(r"[\x00\n\r]", value):
        raise HpcmlError(
            f"--{name}={value!r} has a line end, which a job file cannot hold: write the value in one line"
        )
    if _PLAIN.fullmatch(value):
        return f"--{name}={value}"
    # Slurm reads a backslash as in a shell, and nothing else within the quotes (get_argument() in sbatch/opt.c).
    return '--{}="{}"'.format(name, re.sub(r'(["\\])', r"\\\1", value))

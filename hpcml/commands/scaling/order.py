"""Order of a scaling study: the program, the numbers of slots, and how each run of it is started."""

import contextlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Order", "printed_number"]

SLOTS = "{slots}"  # in an argument of the program, the number of slots stands for it


@dataclass(frozen=True)
class Order:
    """A study that is asked for.

    Parameters
    ----------
    program
        Words of the program: a script and its arguments, ``-m`` and a module, or ``-c`` and code.
    slots, repeats
        Numbers of slots, and of runs on each.
    directory
        Directory of the study's files.
    engine
        Engine of the runs.
    quality, seconds
        Patterns of a line of the program's output; their group is a number. `seconds` is the time that the program
        has measured itself, in place of that of the whole program.
    sbatch
        Options of sbatch, where each run is a job of its own; None where the runs are made here.
    """

    program: tuple[str, ...]
    slots: tuple[int, ...]
    repeats: int
    directory: Path
    engine: str = "auto"
    quality: re.Pattern[str] | None = None
    seconds: re.Pattern[str] | None = None
    sbatch: tuple[str, ...] | None = None

    @property
    def is_weak(self) -> bool:
        """Return whether the work grows with the slots: the program takes their number."""
        return any(SLOTS in word for word in self.program)

    @property
    def title(self) -> str:
        """The program as it is typed."""
        return shlex.join(self.program)

    def runs(self) -> Iterator[tuple[int, int]]:
        """Yield slots and repeat of each run: a disturbance of the computer then affects all numbers of slots."""
        for repeat in range(1, self.repeats + 1):
            for slots in self.slots:
                yield slots, repeat

    def words(self, slots: int) -> list[str]:
        """Return the words of the program on so many slots.

        Examples
        --------
        >>> from pathlib import Path
        >>> from hpcml.commands.scaling.order import Order
        >>> Order(("fit.py", "--rows", "{slots}000"), (1, 8), 5, Path("study")).words(8)
        ['fit.py', '--rows', '8000']
        """
        return [word.replace(SLOTS, str(slots)) for word in self.program]

    @property
    def options(self) -> list[str]:
        """Options of `hpcml run` that all runs have."""
        engine = [] if self.engine == "auto" else ["--engine", self.engine]
        return [*engine, "--quiet", "--run-dir", str(self.directory / "runs")]

    def measures(self, slots: int, repeat: int) -> Path:
        """Return the file that a run writes its measures to."""
        return self.directory / f"{slots}-slots-{repeat}.json"

    def output(self, slots: int, repeat: int) -> Path:
        """Return the file of what a run has printed."""
        return self.directory / f"{slots}-slots-{repeat}.out"


def printed_number(text: str, pattern: re.Pattern[str] | None) -> float | None:
    """Return the number that a program has printed last; None without a pattern, or where it has printed none.

    Examples
    --------
    >>> import re
    >>> from hpcml.commands.scaling.order import printed_number
    >>> printed_number("epoch 1\\naccuracy 0.97\\n", re.compile(r"accuracy (\\S+)"))
    0.97
    """
    for text_of_number in reversed([] if pattern is None else pattern.findall(text)):
        with contextlib.suppress(ValueError):
            return float(text_of_number)
    return None

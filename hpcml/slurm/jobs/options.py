"""Options of sbatch, as the installed sbatch describes them, those of its plugins included."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hpcml.errors import HpcmlError

__all__ = ["Given", "SbatchOption", "parse_help", "split_words"]

Value = Literal["none", "optional", "required", "repeated"]

# ``-B, --extra-node-info=S[:C[:T]]  text``; release 22.05 has no comma there.
_LINE = re.compile(r"^ {2,6}(?:-(?P<letter>\w),? +)?--(?P<name>[a-z][\w-]*)(?P<value>\[=|=| (?=<))?")
# Options that the help of some releases leaves out, or shows without their value.
_MORE: Mapping[str, Value] = {
    **dict.fromkeys(
        ("acctg-freq", "batch", "container", "container-id", "hint", "kill-on-invalid-dep"), "required"
    ),
    **dict.fromkeys(("mem-bind", "network", "open-mode", "prefer", "tasks-per-node"), "required"),
    "x11": "optional",
}
_ADVICE = (
    "`sbatch --help` and `hpcml run --help` list the options. An option of the script's own is written after "
    "`--`:  hpcml submit --nodes 2 script.py -- {word}"
)
_LIKENESS = 0.8  # of an unknown option and a known one, so that the unknown one is taken for a mistake


@dataclass(frozen=True)
class SbatchOption:
    """One option: its long name, its letter or "", and its value; repeated values are joined by commas."""

    name: str
    letter: str = ""
    value: Value = "required"


def parse_help(text: str) -> dict[str, SbatchOption]:
    """Return the options in the output of ``sbatch --help``, by their words: ``--nodes`` and ``-N``.

    Examples
    --------
    >>> from hpcml.slurm.jobs.options import parse_help
    >>> parse_help("  -N, --nodes=N      number of nodes\\n      --exclusive[=user]  whole nodes")["-N"]
    SbatchOption(name='nodes', letter='N', value='required')
    """
    found = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match:
            value: Value = (
                "none" if match["value"] is None else "optional" if match["value"] == "[=" else "required"
            )
            found[match["name"]] = SbatchOption(match["name"], match["letter"] or "", value)
    for name, value in _MORE.items():
        found[name] = SbatchOption(name, "", value)
    words = {f"--{option.name}": option for option in found.values()}
    return words | {f"-{option.letter}": option for option in found.values() if option.letter}


@dataclass(frozen=True)
class Given:
    """Options by their long names, in the order of the command line, and the words that are none."""

    options: Mapping[str, str | None]
    rest: tuple[str, ...]


def split_words(words: Sequence[str], known: Mapping[str, SbatchOption], advice: str = _ADVICE) -> Given:
    """Return the options among the words of a command line, and the program with its arguments.

    The program is the first word that is no option. After it, words that are not known options are the program's
    own; ``--`` makes all words after it the program's.

    Parameters
    ----------
    advice
        End of the message about an unknown option, ``{word}``.

    Raises
    ------
    HpcmlError
        An option is not known, or lacks its value, or has one that it cannot have.

    Examples
    --------
    >>> from hpcml.slurm.jobs.options import SbatchOption, split_words
    >>> known = {"--nodes": SbatchOption("nodes", "N"), "-N": SbatchOption("nodes", "N")}
    >>> split_words(["search.py", "--depth", "3", "-N4"], known)
    Given(options={'nodes': '4'}, rest=('search.py', '--depth', '3'))
    """
    options: dict[str, str | None] = {}
    rest: list[str] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            rest += waiting
            break
        name, value = _split_word(word, known)
        option = known.get(name)
        if option is None:
            if word.startswith("-") and word != "-":
                _check_own(word, name, known, advice, has_program=bool(rest))
            rest.append(word)
            continue
        before = options.pop(option.name, None)  # the last one counts, in its place
        last = _value_of(option, word, value, waiting)
        options[option.name] = f"{before},{last}" if before is not None and option.value == "repeated" else last
    return Given(options, tuple(rest))


def _split_word(word: str, known: Mapping[str, SbatchOption]) -> tuple[str, str | None]:
    """Return the name and the value of a word such as ``--nodes=4`` or ``-N4``."""
    if word.startswith("--"):
        name, equals, value = word.partition("=")
        return name, value if equals else None
    if word.startswith("-") and word[:2] in known and len(word) > 2:
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _value_of(option: SbatchOption, word: str, value: str | None, waiting: list[str]) -> str | None:
    if option.value in ("required", "repeated") and value is None:
        if not waiting:
            raise HpcmlError(f"{word} needs a value: type `{word} VALUE`, or `hpcml submit --help`")
        return waiting.pop(0)
    if option.value == "none" and value is not None:
        raise HpcmlError(f"--{option.name} takes no value, and {word} has one: type `--{option.name}`")
    return value


def _check_own(word: str, name: str, known: Mapping[str, SbatchOption], advice: str, has_program: bool) -> None:
    """Raise an error for an unknown option before the program, or one after it that looks like a mistake."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=_LIKENESS if has_program else 0.6)
    if has_program and not (near and name.startswith("--")):
        return
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise HpcmlError(f"there is no option {name}: {meant}{advice.format(word=word)}")

"""Slurm's compact lists: node names (``n[01-03],gpu1``) and counts (``2(x3),1``).

Compared with ``scontrol show hostnames`` of 22.05 and 24.11 (tests/slurm/test_detection.py). A text after the last
bracket (``n[1-2]-ib``) is read as 24.11 does; 22.05 refuses it. A text that Slurm silently repairs or drops
(``a,,b``, ``n[1-]``) is an error here.
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product

from hpcml.errors import AllocationError

__all__ = ["MAX_NAMES", "compress", "expand", "expand_counts"]

MAX_NAMES = 256 * 1024
"""Most names that a list may hold: more than any machine has, and few enough for memory and time."""

_MAX_LENGTH = 255  # of one name; DNS allows no more
_MAX_DIGITS = 18  # of one number: fits the 64 bits that Slurm gives it

_TOKEN = re.compile(r"(?P<text>[A-Za-z0-9._-]+)|\[(?P<ranges>[0-9,-]*)\]|(?P<comma>,)")
_RANGE = re.compile(rf"([0-9]{{1,{_MAX_DIGITS}}})(?:-([0-9]{{1,{_MAX_DIGITS}}}))?")
_NAME = re.compile(rf"([A-Za-z0-9._-]*?)([0-9]{{0,{_MAX_DIGITS}}})")
_COUNT = re.compile(r"([0-9]{1,9})(?:\(x([0-9]{1,9})\))?")

_Ranges = list[tuple[int, int, int]]  # the parts of a bracket: first number, last number, digits


@dataclass(frozen=True)
class _Item:
    """One comma-separated item: ``text[0] bracket[0] text[1] bracket[1] … text[n]``."""

    position: int
    texts: list[str]
    brackets: list[_Ranges]

    @property
    def size(self) -> int:
        """Number of names that the item stands for."""
        return math.prod(sum(last - first + 1 for first, last, _ in ranges) for ranges in self.brackets)

    @property
    def width(self) -> int:
        """Length of the longest name."""
        numbers = sum(max(max(len(str(r[1])), r[2]) for r in ranges) for ranges in self.brackets)
        return sum(map(len, self.texts)) + numbers


def expand(hostlist: str) -> tuple[str, ...]:
    """Return the names in a hostlist, in Slurm's order, repeated names kept.

    Parameters
    ----------
    hostlist
        Text such as ``SLURM_JOB_NODELIST`` holds. The empty text holds no names.

    Raises
    ------
    AllocationError
        The text is no hostlist (the message names the position), or holds more than `MAX_NAMES` names.

    Examples
    --------
    >>> expand("n[08-10],gpu1")
    ('n08', 'n09', 'n10', 'gpu1')
    """
    names: list[str] = []
    for item in _split(hostlist):
        if item.width > _MAX_LENGTH:
            raise _error(hostlist, item.position, f"a name is longer than {_MAX_LENGTH} characters")
        total = len(names) + item.size
        if total > MAX_NAMES:
            raise _error(hostlist, item.position, f"it reaches {total} names, and {MAX_NAMES} is the limit")
        names.extend(_combine(item))
    return tuple(names)


def compress(names: Iterable[str]) -> str:
    """Return the hostlist of `names`, so that ``expand(compress(names)) == tuple(names)``.

    Raises
    ------
    AllocationError
        A name cannot be a node's name, or there are more than `MAX_NAMES`.

    Examples
    --------
    >>> compress(["n08", "n09", "n10", "gpu1"])
    'n[08-10],gpu1'
    """
    split = [_split_name(name) for name in names]
    if len(split) > MAX_NAMES:
        raise AllocationError(f"a hostlist of {len(split)} names is above the limit of {MAX_NAMES} names")
    parts = []
    for (prefix, numbered), group in groupby(split, key=lambda name: (name[0], name[1] != "")):
        digits = [number for _, number in group]
        if not numbered:
            parts += [prefix] * len(digits)
        elif len(digits) == 1:
            parts.append(prefix + digits[0])
        else:
            parts.append(f"{prefix}[{','.join(_runs(digits))}]")
    return ",".join(parts)


def expand_counts(text: str) -> tuple[int, ...]:
    """Return one count per node from Slurm's run-length form, as in ``SLURM_TASKS_PER_NODE``.

    Raises
    ------
    AllocationError
        The text is not of that form (the message names the position), or holds more than `MAX_NAMES` counts.

    Examples
    --------
    >>> expand_counts("2(x3),1")
    (2, 2, 2, 1)
    """
    counts: list[int] = []
    position = 0
    for item in text.split(","):
        match = _COUNT.fullmatch(item)
        times = int(match[2] or 1) if match else 0
        if not match or not times:
            raise _error(text, position, f"{_short(item)} is no count such as 4 or 4(x2)", "list of counts")
        if len(counts) + times > MAX_NAMES:
            raise _error(text, position, f"more than {MAX_NAMES} counts", "list of counts")
        counts += [int(match[1])] * times
        position += len(item) + 1
    return tuple(counts)


def _split(hostlist: str) -> Iterator[_Item]:
    """Yield the comma-separated items."""
    item = _Item(0, [""], [])
    position = 0
    while position < len(hostlist):
        match = _TOKEN.match(hostlist, position)
        if not match:
            raise _error(hostlist, position, _unexpected(hostlist, position))
        position = match.end()
        if match["text"]:
            item.texts[-1] = match["text"]
        elif match["comma"] is None:
            item.brackets.append(_ranges(hostlist, match.start("ranges"), match["ranges"]))
            item.texts.append("")
        else:
            yield _complete(hostlist, item)
            item = _Item(position, [""], [])
    if hostlist:
        yield _complete(hostlist, item)


def _complete(hostlist: str, item: _Item) -> _Item:
    if item.texts == [""]:
        raise _error(hostlist, item.position, "a name is missing")
    return item


def _ranges(hostlist: str, position: int, inside: str) -> _Ranges:
    """Parse the text between two brackets, which starts at `position`."""
    ranges = []
    for item in inside.split(","):
        match = _RANGE.fullmatch(item)
        if not match:
            raise _error(hostlist, position, f"{_short(item)} is not a number or a range such as 1-3")
        first = int(match[1])
        last = int(match[2] or match[1])
        if first > last:
            raise _error(hostlist, position, f"the range {item} runs backwards")
        ranges.append((first, last, len(match[1])))
        position += len(item) + 1
    return ranges


def _unexpected(hostlist: str, position: int) -> str:
    if hostlist[position] == "[":
        inside = hostlist[position + 1 :]
        return "the bracket is not closed" if "]" not in inside else "the bracket holds more than numbers"
    return f"{hostlist[position]!r} cannot be part of a node's name"


def _combine(item: _Item) -> Iterator[str]:
    """Yield the names of an item in Slurm's order.

    Slurm varies the last bracket fastest, then the first, the second, and so on: of three brackets the middle one
    is the slowest. Counts per node follow this order, so the order here has to be the same.
    """
    order = [*range(len(item.brackets) - 1)][::-1] + [len(item.brackets) - 1] * bool(item.brackets)
    numbers = [""] * len(item.brackets)
    for combination in product(*(list(_numbers(item.brackets[index])) for index in order)):
        for index, number in zip(order, combination, strict=True):
            numbers[index] = number
        yield item.texts[0] + "".join(map(str.__add__, numbers, item.texts[1:]))


def _numbers(ranges: _Ranges) -> Iterator[str]:
    for first, last, digits in ranges:
        yield from (f"{number:0{digits}d}" for number in range(first, last + 1))


def _split_name(name: str) -> tuple[str, str]:
    """Return the text of `name` and the digits at its end, which may be none."""
    match = _NAME.fullmatch(name) if 0 < len(name) <= _MAX_LENGTH else None
    if not match:
        raise AllocationError(f"{_short(name)} cannot be the name of a node")
    return match[1], match[2]


def _runs(digits: list[str]) -> Iterator[str]:
    """Yield ``08-10`` for ``08, 09, 10``, and single numbers as they are."""
    first = last = digits[0]
    for number in digits[1:]:
        # Slurm pads a whole range to the digits of its first number.
        if number != f"{int(last) + 1:0{len(first)}d}":
            yield first if first == last else f"{first}-{last}"
            first = number
        last = number
    yield first if first == last else f"{first}-{last}"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _error(text: str, position: int, reason: str, kind: str = "hostlist") -> AllocationError:
    return AllocationError(f"{_short(text)} is not a {kind} of Slurm's: at position {position}, {reason}")

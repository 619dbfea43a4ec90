"""Finding of a check: what was seen, why that matters, what to type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hpcml.slurm.hostlist import compress

__all__ = ["Finding", "Severity", "about", "fine", "grouped", "listed"]

_MAX_NAMES = 80  # characters of a hostlist in a message


class Severity(StrEnum):
    """Severity of a finding, the gravest first."""

    WILL_FAIL = "will fail"
    SLOW = "will be slow or surprising"
    FINE = "fine"


@dataclass(frozen=True)
class Finding:
    """One result of a check.

    Parameters
    ----------
    check
        Subject of the check: a few words.
    seen
        What was seen; one line for each group of nodes.
    why, type
        Why that matters, and what to type; "" for what is fine.
    nodes
        The nodes that it concerns; none: the driver, or all.
    """

    severity: Severity
    check: str
    seen: tuple[str, ...]
    why: str = ""
    type: str = ""
    nodes: tuple[str, ...] = ()


def fine(check: str, seen: str) -> list[Finding]:
    """Return the finding of a check that has passed."""
    return [Finding(Severity.FINE, check, (seen,))]


def grouped(severity: Severity, check: str, seen: Mapping[str, str], why: str, type: str) -> list[Finding]:
    """Return one finding for what was seen on some nodes, with a line for each text; none for no nodes.

    Examples
    --------
    >>> from hpcml.commands.doctor.finding import Severity, grouped
    >>> (found,) = grouped(Severity.SLOW, "disk", {"n1": "full", "n2": "gone", "n3": "full"}, "", "")
    >>> found.seen, found.nodes
    (('n[1,3]: full', 'n2: gone'), ('n1', 'n2', 'n3'))
    """
    if not seen:
        return []
    by_text: dict[str, list[str]] = {}
    for node, text in seen.items():
        by_text.setdefault(text, []).append(node)
    lines = tuple(f"{listed(nodes)}: {text}" for text, nodes in by_text.items())
    return [Finding(severity, check, lines, why, type, tuple(seen))]


def listed(nodes: Sequence[str]) -> str:
    """Return the hostlist of `nodes`, or their number where the hostlist is long.

    Examples
    --------
    >>> from hpcml.commands.doctor.finding import listed
    >>> listed(["n1", "n2", "n5"])
    'n[1-2,5]'
    """
    text = compress(nodes)
    return text if len(text) <= _MAX_NAMES else f"{len(nodes)} nodes, the first {nodes[0]}"


def about(nbytes: int) -> str:
    """Return a number of bytes with two digits, so that nodes with nearly the same are shown together.

    Examples
    --------
    >>> from hpcml.commands.doctor.finding import about
    >>> about(64_123_456), about(135_000_000_000), about(0)
    ('64 MB', '140 GB', '0 MB')
    """
    megabytes = float(f"{nbytes / 1e6:.2g}")
    for unit in ("MB", "GB", "TB"):
        if megabytes < 1000 or unit == "TB":
            break
        megabytes /= 1000
    return f"{megabytes:g} {unit}"

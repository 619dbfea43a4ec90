"""Warning, once, about calls that are too short to be worth sending."""

import logging
from dataclasses import dataclass

__all__ = ["Spent", "advice", "note_map"]

log = logging.getLogger("hpcml")

WORTH_SAYING = 1.0  # seconds that all maps of a function have taken


@dataclass
class Spent:
    """Times that the maps of one function have taken.

    Parameters
    ----------
    work, wall
        Seconds: of all calls on their workers, one after the other; and from submitting them to the last result.
    slots
        On which the last of the maps was.
    """

    calls: int = 0
    work: float = 0.0
    wall: float = 0.0
    slots: int = 1
    told: bool = False


_spent: dict[str, Spent] = {}


def note_map(name: str, calls: int, seconds: float, wall: float, slots: int) -> None:
    """Take note of a map of so many `calls` of `seconds` each; warn, once, when they are too short to gain."""
    spent = _spent.setdefault(name, Spent())
    spent.calls += calls
    spent.work += calls * seconds
    spent.wall += wall
    spent.slots = slots
    if spent.wall > WORTH_SAYING:
        _tell(name, spent, "Let each call do more, or use Python's own map")


def _tell(name: str, spent: Spent, what: str) -> None:
    if not spent.told and (words := advice(name, spent)):
        spent.told = True
        log.warning("%s. %s", words, what)


def advice(name: str, spent: Spent) -> str | None:
    """Return what to say of calls that would have been done earlier without any worker; None where they gain.

    Examples
    --------
    >>> from hpcml.cluster.map.granularity import Spent, advice
    >>> told = advice("script.evaluate", Spent(calls=10_000, work=0.1, wall=0.6, slots=12))
    >>> "one takes 10 us, and sending it 59 us: from about 65 us on it gains" in told
    True
    >>> advice("script.evaluate", Spent(calls=10_000, work=10.0, wall=1.2, slots=12)) is None
    True
    """
    if spent.wall <= spent.work or spent.calls < 2:
        return None
    sending = (spent.wall - spent.work / spent.slots) / spent.calls
    gains = (
        f": from about {_time(sending * spent.slots / (spent.slots - 1))} on it gains" if spent.slots > 1 else ""
    )
    return (
        f"{spent.calls} calls of {name} took {spent.wall:.2g} s on {spent.slots} slots, and would have taken "
        f"{spent.work:.2g} s in one process: one takes {_time(spent.work / spent.calls)}, and sending it "
        f"{_time(sending)}{gains}"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"

"""Warning about calls that are too short to be worth sending, once for each function."""

import logging
from dataclasses import dataclass

__all__ = ["Spent", "advice", "note_map"]

log = logging.getLogger("hpcml")

MIN_SPENT_SECONDS = 1.0  # of all maps of a function, before there is a warning


@dataclass
class Spent:
    """Times that the maps of one function have taken.

    Parameters
    ----------
    work, wall
        Seconds of all calls on their workers, added up; seconds from the submission to the last result.
    slots
        Number of slots of the last map.
    """

    calls: int = 0
    work: float = 0.0
    wall: float = 0.0
    slots: int = 1
    warned: bool = False


_spent: dict[str, Spent] = {}


def note_map(name: str, calls: int, seconds: float, wall: float, slots: int) -> None:
    """Note a map of `calls` calls of `seconds` each; warn once when they are too short to gain from workers."""
    spent = _spent.setdefault(name, Spent())
    spent.calls += calls
    spent.work += calls * seconds
    spent.wall += wall
    spent.slots = slots
    if spent.wall > MIN_SPENT_SECONDS and not spent.warned and (words := advice(name, spent)):
        spent.warned = True
        log.warning("%s. Let each call do more, or use Python's own map", words)


def advice(name: str, spent: Spent) -> str | None:
    """Return a warning about calls that would have ended earlier without workers; None for any others.

    Examples
    --------
    >>> from hpcml.cluster.map.granularity import Spent, advice
    >>> warning = advice("script.evaluate", Spent(calls=10_000, work=0.1, wall=0.6, slots=12))
    >>> "one takes 10 us, and sending it 59 us: from about 65 us on it gains" in warning
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

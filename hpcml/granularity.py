"""Whether calls are long enough to be worth sending, and what is said once where they are not."""

import logging
from dataclasses import dataclass

__all__ = ["Spent", "advice", "note_map"]

log = logging.getLogger("hpcml")

WORTH_SAYING = 1.0  # seconds that all maps of a function have taken


@dataclass
class Spent:
    """What the maps of one function have taken.

    Parameters
    ----------
    work, wall
        Seconds: of all calls on their workers, one after the other; and from submitting them to the last result.
    """

    calls: int = 0
    work: float = 0.0
    wall: float = 0.0
    told: bool = False


_spent: dict[str, Spent] = {}


def note_map(name: str, calls: int, seconds: float, wall: float, slots: int) -> None:
    """Take note of a map of so many `calls` of `seconds` each; warn, once, when they are too short to gain."""
    spent = _spent.setdefault(name, Spent())
    spent.calls += calls
    spent.work += calls * seconds
    spent.wall += wall
    if not spent.told and spent.wall > WORTH_SAYING and (words := advice(name, spent, slots)):
        spent.told = True
        log.warning("%s", words)


def advice(name: str, spent: Spent, slots: int) -> str | None:
    """Return what to say of calls that would have been done earlier without any worker; None where they gain.

    Examples
    --------
    >>> from hpcml.granularity import Spent, advice
    >>> told = advice("script.evaluate", Spent(calls=10_000, work=0.1, wall=0.6), slots=12)
    >>> "one takes 10 us, and sending it 59 us. From about 65 us on it gains" in told
    True
    >>> advice("script.evaluate", Spent(calls=10_000, work=10.0, wall=1.2), slots=12) is None
    True
    """
    if spent.wall <= spent.work or spent.calls < 2:
        return None
    sending = (spent.wall - spent.work / slots) / spent.calls
    gains = f"From about {_time(sending * slots / (slots - 1))} on it gains: let" if slots > 1 else "Let"
    return (
        f"{spent.calls} calls of {name} took {spent.wall:.2g} s on {slots} slots, and would have taken "
        f"{spent.work:.2g} s in one process: one takes {_time(spent.work / spent.calls)}, and sending it "
        f"{_time(sending)}. {gains} each call do more, or use Python's own map"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.1f} ms"

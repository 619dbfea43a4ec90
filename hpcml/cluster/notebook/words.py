"""Numbers in the words of displays."""

__all__ = ["count", "duration"]


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> from hpcml.cluster.notebook.words import count
    >>> count(1, "slot"), count(1200, "task")
    ('1 slot', '1,200 tasks')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def duration(seconds: float) -> str:
    """Return seconds as people say them; the past is 0.

    Examples
    --------
    >>> from hpcml.cluster.notebook.words import duration
    >>> duration(2.51), duration(42), duration(95), duration(7325), duration(200_000)
    ('2.5 s', '42 s', '1:35 min', '2:02:05 h', '2 d 7:33 h')
    """
    seconds = max(seconds, 0.0)
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24} d {hours % 24}:{minutes:02} h"
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"

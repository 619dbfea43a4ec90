"""Numbers, times and names as text."""

import datetime

__all__ = ["clock", "duration", "memory", "moment", "short_name", "slurm_time"]


def duration(seconds: float) -> str:
    """Return a time in the units that suit it.

    Examples
    --------
    >>> from hpcml.commands.report.formatting import duration
    >>> [duration(seconds) for seconds in (0, 0.000213, 0.25, 3.14159, 42, 751, 12 * 3600)]
    ['0 s', '213 µs', '250 ms', '3.14 s', '42 s', '12 min 31 s', '12 h']
    """
    if not seconds:
        return "0 s"
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms" if seconds >= 0.0009995 else f"{1e6 * seconds:.3g} µs"
    if seconds < 59.95:
        return f"{seconds:.3g} s"
    minutes, left = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {left:02d} s" if left else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if minutes else f"{hours} h"


def moment(seconds: float) -> str:
    """Return a point in time as date and time of day, in the local time zone."""
    return datetime.datetime.fromtimestamp(seconds).isoformat(" ", "seconds")


def clock(seconds: float) -> str:
    """Return a point in time as time of day, in the local time zone."""
    return moment(seconds)[11:]


def memory(megabytes: float) -> str:
    """Return an amount of memory.

    Examples
    --------
    >>> from hpcml.commands.report.formatting import memory
    >>> memory(0), memory(310), memory(14848)
    ('?', '310 MB', '14.5 GB')
    """
    if not megabytes:
        return "?"
    return f"{megabytes:.0f} MB" if megabytes < 1024 else f"{megabytes / 1024:.1f} GB"


def slurm_time(seconds: float) -> str:
    """Return a time as Slurm's ``--time`` takes it.

    Examples
    --------
    >>> from hpcml.commands.report.formatting import slurm_time
    >>> slurm_time(1200), slurm_time(27 * 3600)
    ('00:20:00', '1-03:00:00')
    """
    minutes, left = divmod(round(seconds), 60)
    days, minutes = divmod(minutes, 24 * 60)
    return f"{days}-" * bool(days) + f"{minutes // 60:02d}:{minutes % 60:02d}:{left:02d}"


def short_name(name: str, width: int = 40) -> str:
    """Return a function's name without ``__main__``, and with ``…`` in place of the middle of a long name.

    Examples
    --------
    >>> from hpcml.commands.report.formatting import short_name
    >>> short_name("__main__.fit"), short_name("sklearn.model_selection._validation._fit_and_score")
    ('fit', 'sklearn.…._fit_and_score')
    """
    name = name.removeprefix("__main__.")
    if len(name) > width and name.count(".") > 1:
        name = name.partition(".")[0] + ".…." + name.rpartition(".")[2]
    return name if len(name) <= width else name[: width // 2] + "…" + name[-(width - width // 2 - 1) :]

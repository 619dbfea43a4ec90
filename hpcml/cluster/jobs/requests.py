"""Options of `hpcml.submit` and `hpcml.map_array`: those of sbatch, by their names with underscores."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.options import SbatchOption
from hpcml.slurm.jobs.partitions import parse_time_limit
from hpcml.slurm.jobs.script import JobScript
from hpcml.slurm.jobs.site import Site

__all__ = ["Request", "make_request", "repeatable", "sbatch_value", "with_signal"]

# Options whose place hpcml takes.
_REFUSED = {
    "array": "hpcml.map_array makes an array",
    "wrap": "the function is what runs",
    "wait": "call job.result()",
    "parsable": "job.id is the number",
    "test-only": "`sbatch --test-only` tests a job file",
}
SIGNAL_SECONDS = 90.0  # before the time limit, that a job gets the signal to stop
SIGNAL_SHARE = 0.1  # of a short job's time that it may take at most


@dataclass(frozen=True)
class Request:
    """Request for a job: options of sbatch by their names there, and what prepares the shell."""

    options: Mapping[str, str | None]
    modules: tuple[str, ...] = ()
    setup: str | None = None

    @property
    def minutes(self) -> float | None:
        """Time limit, None where Slurm chooses or there is none."""
        return parse_time_limit(self.options.get("time") or "")

    def script(self, command: Sequence[str]) -> JobScript:
        """Return the job file that runs a command."""
        return JobScript(self.options, tuple(command), self.modules, self.setup)


def make_request(
    given: Mapping[str, Any], site: Site, known: Mapping[str, SbatchOption] | None, caller: str
) -> Request:
    """Return the request of a job.

    Parameters
    ----------
    given
        Options of the user, which come before those of the site.
    known
        Options of sbatch by their words, see `hpcml.slurm.jobs.options.parse_help`; None: they are not checked.
    caller
        The function that the user calls, for messages.

    Raises
    ------
    HpcmlError
        There is no such option, or it has a value that it cannot have.

    Examples
    --------
    >>> from hpcml.slurm.jobs.site import Site
    >>> make_request({"nodes": 2, "ntasks_per_node": 4}, Site(), None, "hpcml.submit").options
    {'nodes': '2', 'ntasks-per-node': '4'}
    """
    options: dict[str, str | None] = {}
    for name, value in given.items():
        option = name.replace("_", "-")
        if option in _REFUSED:
            raise HpcmlError(f"{caller}({name}=…) has no place here: {_REFUSED[option]}")
        if known is not None and f"--{option}" not in known:
            raise HpcmlError(_unknown(name, known, caller))
        text = sbatch_value(name, value, caller)
        if text != "":
            options[option] = text
    return Request({**site.sbatch, **options}, site.modules, site.setup)


def with_signal(request: Request) -> Request:
    """Return a request for a job that Slurm sends a signal before its time limit."""
    minutes = request.minutes
    seconds = SIGNAL_SECONDS if minutes is None else min(SIGNAL_SECONDS, minutes * 60 * SIGNAL_SHARE)
    return replace(request, options={"signal": f"B:USR2@{max(round(seconds), 1)}", **request.options})


def repeatable(request: Request) -> Request:
    """Return a request for a job that Slurm may start again, and whose output is then appended to."""
    defaults: dict[str, str | None] = {"open-mode": "append"}
    if "no-requeue" not in request.options:
        defaults["requeue"] = None
    return replace(request, options={**defaults, **request.options})


def _unknown(name: str, known: Mapping[str, SbatchOption], caller: str) -> str:
    names = [option.name.replace("-", "_") for option in known.values()]
    near = difflib.get_close_matches(name, names, n=3)
    meant = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
    return (
        f"{caller} has no option {name}: {meant}Its options are those of sbatch, with underscores. An argument of "
        f"the function itself is given by its place, or by functools.partial(function, {name}=…)"
    )


def sbatch_value(name: str, value: Any, caller: str) -> str | None:
    """Return the value of an option as sbatch takes it: None for an option without one, "" for none at all.

    Raises
    ------
    HpcmlError
        The value is of a type that no option has, or a negative number.

    Examples
    --------
    >>> from datetime import timedelta
    >>> [sbatch_value("time", value, "hpcml.submit") for value in (90, "1:30:00", timedelta(hours=1.5))]
    ['90', '1:30:00', '90']
    >>> sbatch_value("exclusive", True, "hpcml.submit"), sbatch_value("nodelist", ["n1", "n2"], "hpcml.submit")
    (None, 'n1,n2')
    """
    if value is None or value is False:
        return ""
    if value is True:
        return None
    if isinstance(value, timedelta):
        return str(max(-int(-value.total_seconds() // 60), 1))
    if isinstance(value, list | tuple):
        return ",".join(str(one) for one in value)
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if is_number and value >= (0 if name != "nice" else value):
        return str(int(value))
    raise HpcmlError(
        f"{caller}({name}={value!r}): write a text as on sbatch's command line, a whole number, a timedelta, a "
        "list, or True for an option without a value"
    )

"""Displays of a Cluster: one line of text, and a table for a notebook."""

from collections.abc import Iterable
from html import escape
from itertools import groupby

from hpcml.cluster.fleet.job import JobRow
from hpcml.cluster.notebook.facts import ClusterFacts
from hpcml.cluster.notebook.words import count, duration
from hpcml.errors import AllocationError
from hpcml.slurm.hostlist import compress

__all__ = ["as_html", "as_line"]

_LABEL = "border:none;padding:0 1.2em 0 0;text-align:left;vertical-align:top;background:none;opacity:0.7"
_VALUE = "border:none;padding:0 1em 0 0;text-align:left;background:none;font-variant-numeric:tabular-nums"


def as_line(facts: ClusterFacts) -> str:
    """Return a line about a Cluster.

    Examples
    --------
    >>> from hpcml.cluster.fleet.job import JobRow
    >>> from hpcml.cluster.notebook.facts import ClusterFacts
    >>> from hpcml.cluster.notebook.pages import as_line
    >>> as_line(ClusterFacts("open", "ipyparallel", "job 7", {"n1": 4, "n2": 4, "n3": 2}, done=8, queued=3))
    '<hpcml.Cluster: 10 slots (4 on each of n[1-2], 2 on n3), job 7, engine ipyparallel; tasks: 8 done, 3 queued>'
    >>> job = JobRow("7", 3, "PENDING", "Priority")
    >>> as_line(ClusterFacts("starting", "ipyparallel", "its own jobs", {}, jobs=(job,)))
    '<hpcml.Cluster: starting, its own jobs, engine ipyparallel; 7: 3 nodes, PENDING (Priority)>'
    """
    parts = [f"{_slots(facts)}, {facts.place}, engine {facts.engine}"]
    parts += [f"{row.job}: {_job(row)}" for row in facts.jobs]
    if tasks := _tasks(facts):
        parts.append(f"tasks: {tasks}")
    if facts.state == "open" and facts.seconds_left is not None:
        parts.append(f"{duration(facts.seconds_left)} left")
    return f"<hpcml.Cluster: {'; '.join(parts)}>"


def _slots(facts: ClusterFacts) -> str:
    if facts.state != "open":
        return facts.state
    return f"{count(sum(facts.slots.values()), 'slot')} ({', '.join(_slots_by_host(facts))})"


def _slots_by_host(facts: ClusterFacts) -> list[str]:
    """Return the slots of the hosts in words; neighbours with the same number are named together."""
    words = []
    for slots, hosts in groupby(facts.slots, key=facts.slots.__getitem__):
        names = list(hosts)
        words.append(f"{slots} on {'each of ' if len(names) > 1 else ''}{_hostlist(names)}")
    return words


def _hostlist(names: list[str]) -> str:
    try:
        return compress(names)
    except AllocationError:  # this computer may have a name that no node of Slurm has
        return ", ".join(names)


def _job(row: JobRow) -> str:
    state = f"{row.state} ({row.reason})" if row.reason else row.state
    left = "" if row.seconds_left is None else f", {duration(row.seconds_left)} left"
    return f"{count(row.nodes, 'node')}, {state}{left}"


def _tasks(facts: ClusterFacts) -> str:
    numbers = [
        (facts.done - facts.failed, "done"),
        (facts.failed, "failed"),
        (facts.recalled, "from the journal"),
        (facts.running, "running"),
        (facts.queued, "queued"),
    ]
    return ", ".join(f"{number:,} {word}" for number, word in numbers if number)


def as_html(facts: ClusterFacts) -> str:
    """Return a table about a Cluster, in the colours of the page that holds it."""
    rows: list[tuple[str, str]] = []
    if facts.state == "open":
        total = count(sum(facts.slots.values()), "slot")
        rows.append((total, _lines(_slots_by_host(facts))))
    rows += [(f"Job {row.job}", escape(_job(row))) for row in facts.jobs]
    rows.append(("Tasks", escape(_tasks(facts) or "none yet") + _bar(facts)))
    if facts.state == "open" and facts.seconds_left is not None:
        rows.append(("Time left", f"{duration(facts.seconds_left)} <small>at {escape(facts.at)}</small>"))
    rows.append(("Run", f"<code>{escape(facts.run_dir)}</code>"))
    title = f"<b>hpcml.Cluster</b> {facts.state}, {escape(facts.place)}, engine {escape(facts.engine)}"
    table = "".join(
        f'<tr style="background:none"><td style="{_LABEL}">{label}</td><td style="{_VALUE}">{value}</td></tr>'
        for label, value in rows
    )
    return (
        f'<div class="hpcml-cluster"><div>{title}</div>'
        f'<table style="border:none;margin:0.3em 0 0 0">{table}</table></div>'
    )


def _lines(words: Iterable[str]) -> str:
    return "<br>".join(map(escape, words))


def _bar(facts: ClusterFacts) -> str:
    """Return a bar of the tasks that have ended; none where no other task is known."""
    ended = facts.done + facts.recalled
    left = facts.running + facts.queued
    if not left:
        return ""
    return f'<br><progress value="{ended}" max="{ended + left}" style="width:20em"></progress>'

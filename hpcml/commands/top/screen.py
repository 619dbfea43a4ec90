"""State of a run as a picture for a terminal of a given size."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.formatting import duration, memory, short_name
from hpcml.commands.top.state import RunState, SlotState

__all__ = ["draw"]

RECENT_SECONDS = 3.0  # after its last short task, in which a slot counts as busy
SMALLEST_TABLE = 3  # rows, also in a low terminal
FRAME_LINES = 8  # around the rows of the table


def draw(state: RunState, now: float, width: int, height: int, note: str = "") -> RenderableType:
    """Return the picture of a run at the time `now`, of at most `height` lines of `width` characters.

    Parameters
    ----------
    note
        Remark about the driver, "" for none.

    Examples
    --------
    >>> from rich.console import Console
    >>> from hpcml.commands.top.screen import draw
    >>> from hpcml.commands.top.state import RunState
    >>> Console(width=80).print(draw(RunState("a-run"), 0.0, 80, 24))
    a-run: no session has begun yet
    """
    if not state.session:
        return Text(f"{state.run}: no session has begun yet")
    lines: list[RenderableType] = [Text(state.run, style="bold", overflow="fold"), Text(_status(state, now))]
    lines += [*_progress(state, width), Text(_speed(state, now)), _time_left(state, now)]
    if note:
        lines.append(Text(note, style="red"))
    room = max(height - FRAME_LINES - bool(note), SMALLEST_TABLE)
    return Group(*lines, Text(""), _table(state, now, room))


def _status(state: RunState, now: float) -> str:
    lasted = duration(round(max(now - state.began, 0.0)))
    status = f"{state.end_reason} after {lasted}" if state.end_reason else f"runs for {lasted}"
    parts = [status, f"job {state.job}" if state.job else "no job", f"driver on {state.host}"]
    if state.session > 1:
        parts.append(f"session {state.session}")
    if state.deaths:
        parts.append(f"{count(state.deaths, 'worker')} died")
    return ", ".join(parts)


def _progress(state: RunState, width: int) -> list[RenderableType]:
    ended = state.done + state.failed
    of_all = f" of {state.expected:,}" if state.expected >= ended else ""
    words = f"{state.done:,}{of_all} {'task' if state.done == 1 and not of_all else 'tasks'} done"
    words += f", {state.failed:,} failed" * bool(state.failed)
    words += f", {state.waiting:,} wait" * bool(state.waiting)
    if not of_all:
        return [Text(words)]
    bar = ProgressBar(total=state.expected, completed=ended, width=min(width, 80))
    return [Padding(bar, 0), Text(words)]  # a bar alone does not end its line


def _speed(state: RunState, now: float) -> str:
    busy = _busy(state, state.slots.values(), now)
    hosts = len({slot.host for slot in state.slots.values()})
    words = f"{busy:,} of {count(len(state.slots), 'slot')} on {count(hosts, 'host')} busy"
    rate = state.rate(now)
    if rate is None:
        return words
    return f"{words}, " + (f"{rate:.3g} tasks/s" if rate >= 0.1 else f"{60 * rate:.3g} tasks/min")


def _time_left(state: RunState, now: float) -> Text:
    """Return the estimate and the job's time; nothing where neither is known."""
    parts = []
    estimate, limit = state.seconds_left(now), state.limit_left(now)
    if state.end_reason:
        estimate = limit = None
    if estimate is not None:
        parts.append(f"done in about {duration(round(estimate))}")
    if limit is not None:
        parts.append(f"the job has {duration(round(limit))} left for tasks")
    is_short = estimate is not None and limit is not None and estimate > limit
    return Text(", ".join(parts), style="yellow" if is_short else "")


def _busy(state: RunState, slots: Iterable[SlotState], now: float) -> int:
    """Return the number of slots with a task, or with short tasks."""
    if state.end_reason:
        return 0
    return sum(bool(slot.task) or (bool(slot.last) and now - slot.ended < RECENT_SECONDS) for slot in slots)


def _table(state: RunState, now: float, room: int) -> Table:
    """Return a row for each slot; for each host, where there is no room for that."""
    slots = list(state.slots.values())
    if len(slots) <= room:
        rows = [_slot_row(state, slot, now) for slot in slots]
    else:
        hosts: dict[str, list[SlotState]] = {}
        for slot in slots:
            hosts.setdefault(slot.host, []).append(slot)
        rows = [_host_row(state, host, of_host, now) for host, of_host in hosts.items()]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for header in ("slot", "now", "for", "tasks", "failed", "busy", "memory", "deaths"):
        table.add_column(header, justify="left" if header in ("slot", "now") else "right", no_wrap=True)
    hidden = len(rows) - room
    for row in rows[: room - (hidden > 0)]:
        table.add_row(*row)
    if hidden > 0:
        table.add_row(f"… and {hidden + 1:,} more", style="dim")
    return table


def _slot_row(state: RunState, slot: SlotState, now: float) -> list[Text | str]:
    if slot.task:
        doing, seconds = Text(short_name(slot.task)), duration(round(max(now - slot.since, 0.0)))
    elif _busy(state, [slot], now):
        doing, seconds = Text(short_name(slot.last)), "short"
    else:
        doing, seconds = Text("idle", style="dim"), ""
    return [Text(slot.name), doing, seconds, *_numbers(state, [slot], now)]


def _host_row(state: RunState, host: str, slots: list[SlotState], now: float) -> list[Text | str]:
    busy = _busy(state, slots, now)
    name = Text(f"{host} ({count(len(slots), 'slot')})")
    return [name, f"{busy} busy", "", *_numbers(state, slots, now)]


def _numbers(state: RunState, slots: Iterable[SlotState], now: float) -> list[str]:
    """Return the cells of some slots: tasks, failed tasks, part of the time in which they ran, memory, deaths."""
    slots = list(slots)
    open_seconds = sum(max(now - slot.since, 0.0) for slot in slots if slot.task)
    busy = open_seconds + sum(slot.busy for slot in slots)
    share = min(busy / (len(slots) * max(now - state.began, 1e-3)), 1.0)
    deaths = sum(slot.deaths for slot in slots)
    counts = [f"{sum(slot.tasks for slot in slots):,}", f"{sum(slot.failed for slot in slots) or ''}"]
    peak = max(slot.memory for slot in slots)
    return [*counts, f"{100 * share:.0f} %", memory(peak) if peak else "", f"{deaths or ''}"]

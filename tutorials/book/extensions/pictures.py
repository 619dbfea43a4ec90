"""Pictures of the page of figures, in grey: each function draws one."""

import matplotlib.pyplot as plt
from figures import SYSTEMS, measure
from matplotlib.axes import Axes

GREYS = {"hpcml": "black", "executorlib": "0.35", "dask": "0.55", "dask_nanny": "0.7", "ipyparallel": "0.85"}
MARKS = {"hpcml": "o-", "executorlib": "s--", "dask": "^-.", "ipyparallel": "D:"}
LINES = {"ipyparallel": "0.55"}  # darker than its bars, to be seen


def start() -> None:
    """Draw the time until each slot has finished its first task."""
    _, pair = plt.subplots(1, 2, figsize=(7.5, 3.2), layout="constrained")
    for axes, (name, slots) in zip(pair, (("start_12", 12), ("start_36", 36)), strict=True):
        values = _medians(name)
        bars = axes.barh(
            list(map(_words, values)),
            list(values.values()),
            color=[GREYS[one] for one in values],
            edgecolor="black",
        )
        axes.bar_label(bars, fmt="%.1f s", padding=3)
        axes.margins(x=0.4)
        axes.invert_yaxis()
        axes.set(title=f"{slots} slots on 3 nodes", xlabel="start to each slot's first task (s)")


def tasks() -> None:
    """Draw the wall time of a map over that of perfect slots."""
    lengths = {1: "map_sleep_1ms", 10: "map_sleep_10ms", 100: "map_sleep_100ms"}
    found = {length: _medians(name) for length, name in lengths.items()}
    _, axes = plt.subplots(figsize=(7.5, 3.6), layout="constrained")
    for system, mark in MARKS.items():
        line = [values[system] for values in found.values()]
        axes.plot(
            list(found),
            line,
            mark,
            color=LINES.get(system, GREYS[system]),
            markeredgecolor="black",
            markerfacecolor=GREYS[system],
            label=_words(system),
        )
    axes.axhline(1, color="black", linewidth=0.6)
    _logarithmic(axes)
    axes.set(xlabel="length of a task (ms)", ylabel="wall time / ideal", title="Tasks that sleep, 12 slots")
    axes.legend()


def _logarithmic(axes: Axes) -> None:
    axes.set(xscale="log", yscale="log")
    for axis, ticks in ((axes.xaxis, (1, 10, 100)), (axes.yaxis, (1, 2, 5, 10, 20, 50))):
        axis.set_ticks(ticks, labels=[str(tick) for tick in ticks])
        axis.minorticks_off()


def _medians(name: str) -> dict[str, float]:
    """Return the medians of a measure, of hpcml and of the peers that were measured."""
    entries = measure(name)
    return {"hpcml": entries[0]["value"]} | {
        entry["peer"]: entry["peer_value"] for entry in entries if entry["peer"] in GREYS
    }


def _words(system: str) -> str:
    return SYSTEMS.get(system, system)

"""A study as a table for people, as Markdown for a proposal, and as CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict

from tabulate import tabulate

from hpcml.commands.scaling.fits import LEAST_POINTS
from hpcml.commands.scaling.prices import Provider
from hpcml.commands.scaling.study import Point, Study

__all__ = ["as_csv", "as_markdown", "as_text"]

WORTH = 0.7  # efficiency below which more slots are hardly worth their cost


def as_text(study: Study, title: str, providers: Sequence[Provider] = ()) -> str:
    """Return the study for a terminal."""
    return f"{title}\n\n{_table(study, providers, 'simple')}\n\n" + "\n".join(_sentences(study))


def as_markdown(study: Study, title: str, about: Sequence[str] = (), providers: Sequence[Provider] = ()) -> str:
    """Return the study as Markdown, with lines `about` its circumstances."""
    sentences = "\n".join(f"- {sentence}" for sentence in (*_sentences(study), *about))
    return f"# Scaling of `{title}`\n\n{_table(study, providers, 'github')}\n\n{sentences}\n"


def as_csv(study: Study, providers: Sequence[Provider] = ()) -> str:
    """Return the study as CSV, a line for each number of slots; times in seconds."""
    text = io.StringIO()
    rows = [
        {**asdict(point), **{f"price {one.name} ({one.currency})": one.price(point) for one in providers}}
        for point in study.points
    ]
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue()


def _table(study: Study, providers: Sequence[Provider], style: str) -> str:
    rows = [_row(point, study.is_weak, providers) for point in study.points]
    used = [name for name in rows[0] if any(row[name] != "" for row in rows)]
    cells = [[row[name] for name in used] for row in rows]
    return tabulate(cells, used, style, disable_numparse=True, stralign="right")


def _row(point: Point, is_weak: bool, providers: Sequence[Provider]) -> dict[str, str]:
    row = {
        "slots": str(point.slots),
        "nodes": str(point.nodes),
        "repeats": str(point.repeats),
        "time (s)": f"{point.seconds:.3g}",
        "range (s)": f"{point.lowest:.3g}-{point.highest:.3g}",
        "start (s)": f"{point.start:.2g}",
        "scaled speed-up" if is_weak else "speed-up": f"{point.speedup:.2f}",
        "efficiency": f"{point.efficiency:.2f}",
        "Karp-Flatt": "" if point.karp_flatt is None else f"{point.karp_flatt:.3f}",
        "quality": "" if point.quality is None else f"{point.quality:.4g}",
        "core-h used": f"{point.core_hours_used:.3g}",
        "core-h": f"{point.core_hours:.3g}",
        "node-h": f"{point.node_hours:.3g}",
        "GPU-h": f"{point.gpu_hours:.3g}" if point.gpu_hours else "",
        "billed": "" if point.billed is None else f"{point.billed:.3g}",
    }
    return row | {f"{one.name} ({one.currency})": f"{one.price(point):.3g}" for one in providers}


def _sentences(study: Study) -> list[str]:
    """Return what follows from the study, in sentences."""
    first = study.points[0]
    kind = "the work grows with the slots" if study.is_weak else "the work is the same on all slots"
    said = [f"Base: {first.slots} slot{'s' * (first.slots != 1)}; {kind}; times are medians, without the start."]
    if study.amdahl is not None:
        serial = study.amdahl.serial
        said.append(f"Amdahl's law: serial fraction {serial:.3f}{_interval(study.amdahl.interval)}.")
        if serial:
            said.append(f"No number of slots is more than {1 / serial:.3g} times as fast as one.")
    elif not study.is_weak:
        said.append(f"No fit of Amdahl's law: it needs {LEAST_POINTS['Amdahl']} numbers of slots.")
    if study.usl is not None:
        contention = f"{study.usl.contention:.3f}{_interval(study.usl.contention_interval)}"
        coherency = f"{study.usl.coherency:.4f}{_interval(study.usl.coherency_interval)}"
        said.append(f"Universal scalability law: contention {contention}, coherency {coherency}.")
        if study.usl.peak < float("inf"):
            said.append(f"By that law {study.usl.peak:.3g} slots are the fastest.")
    enough = [point for point in study.points if point.efficiency >= WORTH]
    if len(enough) < len(study.points):
        said.append(f"Efficiency falls below {WORTH:g} above {enough[-1].slots} slots.")
    return said


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" (95 %: {interval[0]:.3f} to {interval[1]:.3f})"

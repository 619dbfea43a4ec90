"""Directives for the figures of ``make bench``: tables from the files in tests/benchmarks/results.

``measured`` has a table of some measures; each line of its content is ``NAME: words for the head of its column``.
``machines`` has the machines and the versions of the figures. A measure that no table has is a warning.
"""

import json
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from docutils import nodes
from results import FOLDER, gave_up
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

SYSTEMS = {
    "dask_jobqueue": "dask-jobqueue",
    "dask_nanny": "dask, with nannies",
    "dask_scatter": "dask, data scattered",
    "equal_split": "equal shares",
    "generations": "with generations",
    "hpcml_ipyparallel": "hpcml, engine ipyparallel",
    "limit": "goal",
    "loky": "joblib alone (loky)",
    "mpi": "mpi4py.futures",
    "mpi_futures": "mpi4py.futures",
    "mpi_futures_100": "mpi4py.futures, in chunks of 100",
    "multiprocessing": "multiprocessing.Pool",
    "relay": "the node's relay",
    "scoop": "SCOOP",
    "serial": "one process",
}
"""Names of peers, where these differ from those in the files."""
MACHINE = ("date", "cpu", "cores", "memory_gib", "system", "python", "slurm")


def measure(name: str) -> list[dict[str, Any]]:
    """Return the entries of a measure, one for each peer; the first has the machine."""
    entries: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    return entries


def shown(values: Sequence[float | str]) -> str:
    """Return the median of repeats with their range, to three digits, or the word of a peer that gave up."""
    if word := gave_up(list(values)):
        return word
    middle, least, most = (_number(choice(values)) for choice in (median, min, max))
    return middle if least == most else f"{middle} ({least} to {most})"


def _number(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 1000 else f"{rounded:g}"


class Measured(SphinxDirective):
    """Table of measures, with a row for each system."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        found = {}
        for line in self.content:
            name, _, words = line.partition(":")
            found[name] = (measure(name), words.strip())
        self.env.metadata[self.env.docname].setdefault("measures", []).extend(found)
        columns = [
            {"hpcml": shown(entries[0]["values"])}
            | {SYSTEMS.get(entry["peer"], entry["peer"]): shown(entry["peer_values"]) for entry in entries}
            for entries, _ in found.values()
        ]
        systems = dict.fromkeys(system for column in columns for system in column)
        head = ["", *(f"{words} ({entries[0]['unit']})" for entries, words in found.values())]
        rows = [
            [f"**{one}**" if one == "hpcml" else one, *(column.get(one, "") for column in columns)]
            for one in systems
        ]
        when = {
            f"{entries[0]['machine']['date']}, {entries[0]['machine']['cpu']}" for entries, _ in found.values()
        }
        return self.parse_text_to_nodes(f"{_table(head, rows)}\n\nMeasured on {'; '.join(sorted(when))}.")


class Machines(SphinxDirective):
    """Table of the machines, and the versions of what was compared."""

    def run(self) -> list[nodes.Node]:
        for path in FOLDER.glob("*.json"):
            self.env.note_dependency(str(path))
        first = [measure(name)[0] for name in all_measures()]
        machines = sorted({tuple(str(one["machine"][key]) for key in MACHINE) for one in first})
        head = ["Date", "Processor", "Cores", "Memory, GiB", "System", "Python", "Slurm"]
        versions = {f"{name} {version}" for one in first for name, version in one["versions"].items()}
        named = ", ".join(sorted(version for version in versions if not version.startswith("commit ")))
        return self.parse_text_to_nodes(f"{_table(head, machines)}\n\nVersions: {named}.")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (head, *rows):
        lines += [f"   {'*' if place == 0 else ' '} - {cell}".rstrip() for place, cell in enumerate(row)]
    return "\n".join(lines)


def all_measures() -> list[str]:
    """Return the names of all measures that have results."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of a measure that no page shows."""
    seen = {name for facts in env.metadata.values() for name in facts.get("measures", ())}
    for name in sorted(set(all_measures()) - seen):
        logging.getLogger(__name__).warning("tests/benchmarks/results/%s.json is in no table of figures.rst", name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the directives."""
    app.add_directive("measured", Measured)
    app.add_directive("machines", Machines)
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True}

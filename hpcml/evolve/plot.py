"""Plot of the convergence of an evolution."""

from pathlib import Path
from typing import Any

__all__ = ["plot_convergence"]


def plot_convergence(logbook: Any, path: str | Path, *, ylabel: str = "fitness") -> None:
    """Draw best, mean and spread of each generation, and mark the generations where the run was resumed.

    Parameters
    ----------
    logbook
        Of `hpcml.evolve.generations`, or DEAP's own. The columns ``min``, ``max``, ``best``, ``avg``, ``mean`` and
        ``std`` are drawn, as far as they exist. A dashed line marks the first generation of a resumed session.
    path
        File of the picture; its ending says the format: ``.png``, ``.pdf``, ``.svg``, …

    Raises
    ------
    ValueError
        The logbook is empty, or has none of these columns. With DEAP's MultiStatistics, its chapters have them:
        give one chapter, as ``logbook.chapters["fitness"]``.

    Examples
    --------
    >>> import tempfile
    >>> from deap import tools
    >>> from hpcml.evolve.plot import plot_convergence
    >>> logbook = tools.Logbook()
    >>> for number in range(5):
    ...     logbook.record(gen=number, min=5 - number, avg=8 - number, std=1.0)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     plot_convergence(logbook, f"{place}/convergence.svg")
    """
    columns = {name for record in logbook for name in record}
    drawn = [name for name in ("min", "max", "best", "avg", "mean") if name in columns]
    chapters = [f'logbook.chapters["{name}"]' for name in getattr(logbook, "chapters", ())]
    if not drawn and chapters:
        raise ValueError(f"the columns of this logbook are in its chapters: give {' or '.join(chapters)}")
    if not drawn:
        raise ValueError(
            "the logbook has no column named min, max, best, avg or mean: register them, as in "
            'stats.register("min", numpy.min)'
        )
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    generations = logbook.select("gen")
    for name in drawn:
        axes.plot(generations, [_number(value) for value in logbook.select(name)], label=name)
    middle = next((name for name in ("avg", "mean") if name in drawn), None)
    if middle and "std" in columns:
        means, spread = ([_number(value) for value in logbook.select(name)] for name in (middle, "std"))
        low, high = zip(*((mean - std, mean + std) for mean, std in zip(means, spread, strict=True)), strict=True)
        axes.fill_between(generations, low, high, alpha=0.2, label=f"{middle} ± std")
    for number, first in enumerate(getattr(logbook, "resumed", ())):
        axes.axvline(first, color="grey", linestyle="--", label="resumed" if number == 0 else None)
    axes.set(xlabel="generation", ylabel=ylabel)
    axes.legend()
    figure.savefig(path, dpi=120)


def _number(value: Any) -> float:
    """Return a statistic as a number; of several objectives, the first."""
    try:
        return float(value)
    except TypeError:
        return float(value[0])

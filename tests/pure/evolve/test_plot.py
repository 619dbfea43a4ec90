"""Plot of the convergence: columns of the logbook, marks of resumed sessions, and refusals."""

import xml.etree.ElementTree as ET

import pytest
from deap import tools

from hpcml.evolve.plot import plot_convergence


def logbook(**columns):
    book = tools.Logbook()
    for number in range(4):
        book.record(gen=number, **{name: value(number) for name, value in columns.items()})
    return book


def drawn(path, kind=""):
    """Return the number of groups of an SVG file, of a kind such as lines or areas."""
    return sum(kind in element.get("id", "") for element in ET.parse(path).iter() if element.get("id"))


def test_known_columns_are_drawn_and_others_are_not(tmp_path):
    plot_convergence(logbook(min=float, avg=lambda n: n + 1.0, std=lambda n: 0.5, nevals=int), tmp_path / "a.svg")
    plot_convergence(logbook(min=float, avg=lambda n: n + 1.0, nevals=int), tmp_path / "b.svg")
    assert drawn(tmp_path / "a.svg", "FillBetween") == drawn(tmp_path / "b.svg", "FillBetween") + 1


def test_a_statistic_of_several_objectives_is_its_first(tmp_path):
    plot_convergence(logbook(min=lambda n: (n, 100.0 * n)), tmp_path / "pairs.svg")
    plot_convergence(logbook(min=float), tmp_path / "numbers.svg")
    assert drawn(tmp_path / "pairs.svg") == drawn(tmp_path / "numbers.svg")


@pytest.mark.parametrize("book", [tools.Logbook(), logbook(nevals=int)], ids=["empty", "without statistics"])
def test_a_logbook_without_statistics_is_refused(book, tmp_path):
    with pytest.raises(ValueError, match=r'stats.register\("min", numpy.min\)'):
        plot_convergence(book, tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()

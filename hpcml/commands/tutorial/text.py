"""Texts of ``hpcml tutorial``: the exercises, the outcome of a student's checks, and the table of a class."""

from collections.abc import Iterable, Mapping, Sequence

from tabulate import tabulate

from hpcml.commands.report.from_journal import clean
from hpcml.commands.tutorial.checks import Check
from hpcml.commands.tutorial.exercises import Exercise
from hpcml.commands.tutorial.results import Field

__all__ = ["class_rows", "class_table", "listing", "outcome", "schema"]

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")  # at the beginning of a cell, spreadsheets take these for a formula


def listing(exercises: Iterable[Exercise]) -> str:
    """Return the list of the exercises."""
    rows = [(one.label, one.title, f"{one.minutes} min") for one in exercises]
    table = tabulate(rows, ("", "exercise", "time"), "simple", disable_numparse=True)
    return table + "\n\nhpcml tutorial start 1   copies the first"


def schema(exercise: Exercise, fields: Mapping[str, Field]) -> str:
    """Return the fields of an exercise's results."""
    rows = [(name, field.kind, field.meaning) for name, field in fields.items()]
    return f"{exercise.results}, a JSON object\n\n" + tabulate(rows, ("name", "kind", "meaning"), "simple")


def outcome(exercise: Exercise, checks: Sequence[Check]) -> str:
    """Return the checks of a student, and for each that has failed what was expected and found, and a hint."""
    lines = [f"{exercise.label}. {exercise.title}", ""]
    for check in checks:
        lines.append(f"{'passed' if check.passed else 'FAILED'}  {check.name}")
        if not check.passed:
            lines += [
                f"        expected  {clean(check.expected)}",
                f"        found     {clean(check.found)}",
                f"        hint      {check.hint}",
            ]
    passed = sum(check.passed for check in checks)
    return "\n".join([*lines, "", f"{passed} of {len(checks)} checks passed"])


def class_rows(
    graded: Mapping[str, Mapping[str, Sequence[Check]]], exercises: Sequence[Exercise]
) -> list[list[str]]:
    """Return the rows of a class: a student each, with the checks passed of all, and the first that has failed."""
    head = ["student", *(exercise.folder for exercise in exercises), "first failed check"]
    rows = [head]
    for student, found in sorted(graded.items()):
        cells = [_share(found.get(exercise.label)) for exercise in exercises]
        failed = [
            f"{label}: {check.name}" for label, checks in found.items() for check in checks if not check.passed
        ]
        rows.append([_cell(student), *cells, (failed or [""])[0]])
    return rows


def _share(checks: Sequence[Check] | None) -> str:
    return "" if checks is None else f"{sum(check.passed for check in checks)} of {len(checks)}"


def _cell(text: str) -> str:
    shown = clean(text)
    return f"'{shown}" if shown.startswith(DANGEROUS) else shown


def class_table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows of a class for a terminal."""
    return tabulate(rows[1:], rows[0], "simple", disable_numparse=True)

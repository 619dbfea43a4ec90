"""``hpcml report``: finds a run, reads its journal, and writes the report as text, data or a page."""

import dataclasses
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hpcml.commands.report.advice import advise
from hpcml.commands.report.from_journal import make_report
from hpcml.commands.report.html import render_html
from hpcml.commands.report.model import Report
from hpcml.commands.report.text import notes, render_text
from hpcml.commands.report.timeline import histogram, make_grid, make_rows
from hpcml.errors import HpcmlError
from hpcml.journal.private_files import check_directory, open_private, read_secret
from hpcml.journal.records import JournalReader

__all__ = ["find_run", "plain_data", "read_run", "report_run"]

TIMELINE_CELLS = 100  # pieces of time in the plain data


def report_run(run: Path | None, as_json: bool = False, html: Path | None = None) -> int:
    """Print the report of a run, or write it to the file `html`; return the exit status.

    Raises
    ------
    HpcmlError
        There is no such run, its journal cannot be read, or `html` cannot be written.
    """
    report = read_run(find_run(Path(".hpcml")) if run is None else run)
    if html is not None:
        try:
            html.write_text(render_html(report), encoding="utf-8")
        except OSError as error:
            raise HpcmlError(f"{html} cannot be written: {error.strerror}") from error
        print(f"hpcml: the report is in {html}", file=sys.stderr)
    try:
        if as_json:
            print(json.dumps(plain_data(report), indent=1))
        elif html is None:
            print(render_text(report, shutil.get_terminal_size().columns, sys.stdout.encoding or "ascii"))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has ended, as in `hpcml report | head`. Python must not fail when it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def find_run(base: Path) -> Path:
    """Return the last run of the only script that has runs in `base`.

    Raises
    ------
    HpcmlError
        There is no run, or several scripts have runs; the message lists the commands to type.
    """
    found = {base / note.read_text().strip() for note in base.glob("last-*")}
    runs = sorted((run for run in found if (run / "journal").is_file()), key=_modification_time, reverse=True)
    if len(runs) == 1:
        return runs[0]
    if not runs:
        raise HpcmlError(f"no run has a journal in {base.absolute()}: name its directory, `hpcml report RUN`")
    commands = "\n".join(f"  hpcml report {run}" for run in runs[:20])
    raise HpcmlError(f"several scripts have runs in {base.absolute()}; the latest first, type one of\n{commands}")


def _modification_time(run: Path) -> float:
    return (run / "journal").stat().st_mtime


def read_run(directory: Path) -> Report:
    """Return the report of the run in a directory.

    Raises
    ------
    HpcmlError
        The directory has no journal that can be read, or is open to other users.
    """
    check_directory(directory)
    path = directory / "journal"
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except OSError as error:
        raise HpcmlError(f"{directory} has no journal that can be read: {error.strerror}") from error
    try:
        return make_report(JournalReader(descriptor, read_secret(directory / "key"), path).items(), str(directory))
    finally:
        os.close(descriptor)


def plain_data(report: Report) -> dict[str, Any]:
    """Return all numbers of the report in types of JSON, without the single tasks."""
    data = {item.name: getattr(report, item.name) for item in dataclasses.fields(report) if item.name != "tasks"}
    for name in ("sessions", "functions", "failures", "deaths", "slots"):
        data[name] = [dataclasses.asdict(item) for item in data[name]]
    for session in data["sessions"]:
        session["how"] = session.pop("end_reason")  # the name that programs read
    data["damages"] = [damage._asdict() for damage in report.damages]
    data["efficiency"] = report.efficiency
    data["advice"] = [advice._asdict() for advice in advise(report)]
    data["notes"] = notes(report)
    data["histogram"] = histogram(report)._asdict()
    rows = make_rows(report, len(report.slots)) if report.wall else []
    grid = make_grid(report, rows, TIMELINE_CELLS)
    data["timeline"] = {
        row.label: [round(cell.share, 3) for cell in line] for row, line in zip(rows, grid, strict=True)
    }
    return data

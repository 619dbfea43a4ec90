"""``hpcml report``: finds a run, reads its journal, and writes the report as text, data or a page."""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcml.commands.report.advice import advise
from hpcml.commands.report.from_journal import make_report
from hpcml.commands.report.html import render_html
from hpcml.commands.report.model import Report
from hpcml.commands.report.notes import notes
from hpcml.commands.report.text import render_text
from hpcml.commands.report.timeline import histogram, make_grid, make_rows
from hpcml.errors import HpcmlError
from hpcml.journal.lease import holder_that_is_gone
from hpcml.journal.private_files import check_directory, open_private, read_secret
from hpcml.journal.records import JournalReader

__all__ = ["find_run", "open_journal", "plain_data", "read_run", "report_run"]

TIMELINE_CELLS = 100  # pieces of time in the plain data
REFRESH_SECONDS = 5  # between two versions of a page that is followed


def report_run(run: Path, as_json: bool = False, html: Path | None = None, follow: bool = False) -> int:
    """Print the report of a run, or write it to the file `html`; return the exit status.

    Parameters
    ----------
    follow
        Write the page again and again until the run ends, for a browser that shows it.

    Raises
    ------
    HpcmlError
        The run's journal cannot be read, or `html` cannot be written.
    """
    if follow and html is None:
        raise HpcmlError("--follow renews a page: name one with --html FILE, or type `hpcml top` for a terminal")
    report = read_run(run)
    if html is not None:
        _write_page(report, html)
        print(f"hpcml: the report is in {html}{_how_to_renew(report, follow)}", file=sys.stderr)
        if follow:
            _renew_page(run, html, report)
    if as_json:
        print(json.dumps(plain_data(report), indent=1))
    elif html is None:
        print(render_text(report, shutil.get_terminal_size().columns, sys.stdout.encoding or "ascii"))
    return 0


def _how_to_renew(report: Report, follow: bool) -> str:
    if not report.goes_on:
        return ""
    if follow:
        return ", and is renewed until the run ends; Ctrl-C stops that"
    return "; the run goes on, and --follow renews the page"


def _write_page(report: Report, html: Path, renewed: bool = False) -> None:
    """Write the page; a browser never reads half of it. A pipe or a device, such as /dev/stdout, is written to."""
    target = html.resolve()
    is_file = target.is_file() or not target.exists()
    written = target.with_name(f".{target.name}.{os.getpid()}") if is_file else html
    try:
        written.write_text(render_html(report, REFRESH_SECONDS if renewed else None), encoding="utf-8")
        if is_file:
            written.replace(target)
    except OSError as error:
        if is_file:
            written.unlink(missing_ok=True)
        raise HpcmlError(f"{html} cannot be written: {error.strerror}") from error


def _renew_page(run: Path, html: Path, report: Report) -> None:
    """Write the page until the run ends, at most a tenth of the time."""
    while report.goes_on and holder_that_is_gone(run) is None:
        began = time.monotonic()
        _write_page(report, html, renewed=True)
        try:
            time.sleep(max(REFRESH_SECONDS, 9 * (time.monotonic() - began)))
            report = read_run(run)
        except KeyboardInterrupt:
            break
    _write_page(report, html)


def find_run(base: Path, latest: bool = False) -> Path:
    """Return the last run of the only script that has runs in `base`; with `latest` the last of all scripts.

    Raises
    ------
    HpcmlError
        There is no run, or several scripts have runs; the message lists the commands to type.
    """
    found = {base / note.read_text().strip() for note in base.glob("last-*")}
    runs = sorted((run for run in found if (run / "journal").is_file()), key=_modification_time, reverse=True)
    if len(runs) == 1 or (runs and latest):
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
    with open_journal(directory) as reader:
        return make_report(reader.items(), str(directory))


@contextlib.contextmanager
def open_journal(directory: Path) -> Iterator[JournalReader]:
    """Open the journal of the run in a directory; see `read_run` for the errors."""
    check_directory(directory)
    path = directory / "journal"
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except OSError as error:
        raise HpcmlError(f"{directory} has no journal that can be read: {error.strerror}") from error
    try:
        yield JournalReader(descriptor, read_secret(directory / "key"), path)
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

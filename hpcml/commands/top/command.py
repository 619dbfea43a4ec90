"""``hpcml top``: the journal of a run is read again and again, and its state is drawn."""

import argparse
import time
from collections.abc import Mapping

from hpcml.commands.jobs.runs import named_run
from hpcml.commands.report.command import open_journal
from hpcml.commands.report.formatting import duration
from hpcml.commands.top.screen import draw
from hpcml.commands.top.state import RunState
from hpcml.journal.lease import DriverIdentity, holder_that_is_gone
from hpcml.journal.records import JournalReader, Record

__all__ = ["read_on", "show_top"]

SILENT_SECONDS = 180.0  # without a record: while a task runs there is one each minute
ALL_SLOTS = 1_000_000  # lines, where no terminal is too low for them


def show_top(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    """Show the slots of a run and their tasks, until the run ends or Ctrl-C is typed; return the exit status.

    Raises
    ------
    HpcmlError
        There is no such run, or its journal cannot be read.
    """
    from rich.console import Console
    from rich.live import Live

    directory = named_run(arguments.run, environment, latest=True)
    console = Console(highlight=False)
    is_live = console.is_terminal and not arguments.once
    state = RunState(str(directory))
    with open_journal(directory) as reader, Live(console=console, auto_refresh=False) as live:
        while True:
            read_on(reader, state)
            gone = None if state.end_reason else holder_that_is_gone(directory)
            now = state.time if state.end_reason or gone else time.time()
            height = console.height if is_live else ALL_SLOTS
            picture = draw(state, now, console.width, height, _note(state, gone))
            if not is_live:
                console.print(picture)
                return 0
            live.update(picture, refresh=True)
            if state.end_reason or gone:
                return 0
            try:
                time.sleep(arguments.interval)
            except KeyboardInterrupt:
                return 0


def read_on(reader: JournalReader, state: RunState) -> None:
    """Add the records that the journal has since the last call."""
    for item in reader.new_items():
        if isinstance(item, Record):
            state.add(item.head)


def _note(state: RunState, gone: DriverIdentity | None) -> str:
    """Return a remark about a driver that may not run any more."""
    if gone is not None:
        return f"The driver, {gone}, is gone: `--resume` continues the run."
    silence = time.time() - state.time
    if state.session and not state.end_reason and silence > SILENT_SECONDS:
        return f"No record for {duration(round(silence))}: no task runs, or the driver is gone."
    return ""

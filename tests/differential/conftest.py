"""Summary of the differential test at the end of the run."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    from batches import TOTALS

    if TOTALS.programs:
        terminalreporter.section("differential test")
        for line in TOTALS.lines():
            terminalreporter.write_line(line)

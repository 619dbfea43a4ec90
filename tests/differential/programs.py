"""Drivers of runners: they send programs, and return the observations of each."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Driver", "Seen"]

HERE = Path(__file__).parent
ANSWER = 100.0  # seconds that a program may take: none takes a tenth of that, but on a very slow machine


class Seen(NamedTuple):
    """Observations of one execution of a program.

    Parameters
    ----------
    maps
        For each map: ``api``, ``ids``, ``values`` (texts), ``errors`` (position and text), ``state``
        (the script's globals).
    executed
        How often each call was executed; in a run that was resumed, by the second driver.
    printed
        The lines that each call has printed to each stream, in order.
    first
        How often each call was executed by the first driver of a run that was resumed.
    known
        How many results the second driver has found.
    files
        The files in the program's working directory, with their content.
    trouble
        A traceback, where the script itself has failed.
    """

    maps: list[dict[str, Any]]
    executed: Counter[int]
    printed: dict[str, list[str]]
    first: Counter[int]
    known: int
    files: dict[str, str]
    trouble: str | None
    seconds: float


class Driver:
    """Process that runs programs with one executor; see `runner`."""

    def __init__(self, executor: str, place: Path) -> None:
        self.executor = executor
        self.place = place / executor
        self.place.mkdir(parents=True, exist_ok=True)
        self._number = 0
        self._process: subprocess.Popen[str] | None = None

    def run(self, source: str, cut: int = 0) -> "Running":
        """Start a program; the first driver is killed after `cut` executions."""
        if self._process is None:
            self._open()
        self._number += 1
        folder = self.place / f"program-{self._number}"
        folder.mkdir()
        tag = f"@{self.executor}-{self._number}"
        request = {"source": source, "place": str(folder), "tag": tag, "cut": cut}
        running = Running(self, folder, tag)
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return running

    def _open(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
        with open(self.place / "start", "w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, HERE / "runner.py", self.executor, self.place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=self.place,
                text=True,
                start_new_session=True,
            )
        if self.answer() != "ready":
            raise RuntimeError(f"{self.executor}: {(self.place / 'start').read_text()}{self.output()[-2000:]}")

    def answer(self) -> str | None:
        """Return the next line of the runner; None where none comes in time."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], ANSWER)[0]:
            self.close(kill=True)
            return None
        return process.stdout.readline().strip() or None

    def printed(self) -> int:
        """Return the number of bytes that the programs have printed until now."""
        path = self.place / "output"
        return path.stat().st_size if path.exists() else 0

    def output(self, begin: int = 0) -> str:
        """Return the prints of the programs, from that byte on."""
        path = self.place / "output"
        return path.read_bytes()[begin:].decode(errors="replace") if path.exists() else ""

    def close(self, kill: bool = False) -> None:
        """End the runner, in order or at once, with all of its processes."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        if not kill:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class Running:
    """Program that has been started."""

    def __init__(self, driver: Driver, folder: Path, tag: str) -> None:
        self._driver = driver
        self._folder = folder
        self._tag = tag
        self._began = time.monotonic()
        self._offset = driver.printed()

    def seen(self) -> Seen:
        """Wait for the program and return its observations."""
        line = self._driver.answer()
        if line is None:
            self._driver.close(kill=True)
            trouble = f"no answer in {ANSWER} s: {self._driver.output()[-3000:]}"
            answer = {"maps": [], "known": 0, "trouble": trouble}
        else:
            answer = json.loads(line)
        return Seen(
            answer["maps"],
            _executed(self._folder / "log"),
            self.printed(),
            _executed(self._folder / "log-first"),
            answer["known"],
            _files(self._folder / "work"),
            answer["trouble"],
            time.monotonic() - self._began,
        )

    def printed(self) -> dict[str, list[str]]:
        """Return the prints until now, by call and stream."""
        found: dict[str, list[str]] = {}
        for match in re.finditer(rf"{self._tag} (\d+ \w)( .*)?$", self._driver.output(self._offset), re.MULTILINE):
            found.setdefault(match[1], []).append(match[2])
        return found


def _files(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def _executed(log: Path) -> Counter[int]:
    return Counter(map(int, log.read_text().split())) if log.exists() else Counter()


@contextlib.contextmanager
def opened(names: list[str], place: Path) -> Iterator[dict[str, Driver]]:
    """Return a driver for each executor, and end them."""
    drivers = {name: Driver(name, place) for name in names}
    try:
        yield drivers
    finally:
        for driver in drivers.values():
            driver.close()

"""Runs of scripts with engine scoop; a mark in the environment identifies the processes of each."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

NO_SLURM = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
MARK = "HPCML_TEST_SCOOP"
GUARD = 'if __name__ == "__main__":\n'


def processes(mark):
    """Return the processes whose environment holds the mark of a test."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = f"{MARK}={mark}\0".encode() in (directory / "environ").read_bytes()
            if ours and (directory / "stat").read_text().rpartition(") ")[2][0] != "Z":
                found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def none_left(mark, seconds=15):
    """Wait until no process of the test is left, and fail when one stays."""
    end = time.monotonic() + seconds
    while left := processes(mark):
        assert time.monotonic() < end, left
        time.sleep(0.05)


class Run:
    """Script that runs with engine scoop, in `directory`."""

    def __init__(self, directory, script, *args, options=("--quiet",), slots=2, main="", env=None):
        self.directory = directory
        self.mark = str(directory)
        text = textwrap.dedent(script) + (GUARD + textwrap.indent(textwrap.dedent(main), "    ") if main else "")
        (directory / "script.py").write_text(text)
        # Processes that a shell starts in the background ignore two of the signals.
        argv = ["env", "--default-signal=INT,QUIT", sys.executable, "-m", "hpcml"]
        argv += ["run", "--engine", "scoop", f"--slots-per-node={slots}"]
        self.process = subprocess.Popen(
            [*argv, *options, "script.py", *args],
            cwd=directory,
            env={**NO_SLURM, MARK: self.mark, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, seconds=30):
        """Return the next line of its standard output."""
        assert select.select([self.process.stdout], [], [], seconds)[0], "nothing is printed"
        return self.process.stdout.readline().rstrip("\n")

    def end(self, seconds=30):
        """Return exit status and prints of the script, after the end of all its processes; its key is removed."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            none_left(self.mark)
            raise AssertionError(f"it hangs: {self.process.communicate()}") from None
        none_left(self.mark)
        return SimpleNamespace(status=self.process.returncode, out=out, err=err)


@pytest.fixture
def run(tmp_path):
    """Function that runs a script to its end; see `Run`."""
    return lambda script, *args, **options: Run(tmp_path, script, *args, **options).end()


@pytest.fixture
def together(tmp_path):
    """Function that runs several scripts, as ``{name: main part}``, four at a time; {name: their ends}."""

    def run(script, mains):
        ends, names = {}, list(mains)
        for first in range(0, len(names), 4):
            runs = {}
            for number, name in enumerate(names[first : first + 4], first):
                (tmp_path / str(number)).mkdir()
                runs[name] = Run(tmp_path / str(number), script, main=mains[name])
            ends |= {name: run.end() for name, run in runs.items()}
        return ends

    return run


@pytest.fixture
def start(tmp_path):
    """Function that starts a script; its processes are killed at the end of the test."""
    yield lambda script, *args, **options: Run(tmp_path, script, *args, **options)
    for pid in processes(str(tmp_path)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


WORK = """
import os, signal, sys, time
import threading
from scoop import futures

def work(x):
    return x

def sleep(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)

class Needs(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

def raises_needs(x):
    raise Needs("this", "that")

def lock(x):
    return threading.Lock()

class OneWay:
    def __reduce__(self):
        return int, ("no number",)

def one_way(x):
    return OneWay()

def leave(status):
    os._exit(status)

def exit_task(status):
    sys.exit(status)

def kill_me(x):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def workers(mark):
    """Return the forked workers of a run: the children of the node's program."""
    nodes = {pid for pid, command in processes(mark).items() if "hpcml.engines.scoop.node" in command}
    return sorted(pid for pid in nodes if parent(pid) in nodes)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])

"""Processes that a worker's tasks have started: they end with the worker.

A pool of loky's or multiprocessing's within a task has a resource tracker, which removes semaphores and memory
maps when all others that use them are gone. So everything below a worker is killed but the trackers, which then
end by themselves; it is stopped first, so that nothing is started meanwhile.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["adopt_orphans", "end_orphans", "end_trees"]

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TRACKERS = (b"loky.backend.resource_tracker", b"multiprocessing.resource_tracker")
PATIENCE = 5.0  # seconds for a tracker to clean up


def adopt_orphans() -> None:
    """Become the parent of what children of this process leave behind."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_orphans(own: Collection[int]) -> None:
    """End the children of this process that are not its `own`, with all below them."""
    end_trees([child for child in _children().get(os.getpid(), []) if child not in own])


def end_trees(processes: Collection[int]) -> None:
    """Kill processes with all below them, but for resource trackers, which are given time to clean up."""
    stopped: set[int] = set()
    trackers: set[int] = set()
    new = set(processes)
    while new:
        for process in new:
            if _is_tracker(process):
                trackers.add(process)
            else:
                _send(process, signal.SIGSTOP)
                stopped.add(process)
        children = _children()
        new = {child for parent in stopped for child in children.get(parent, [])} - stopped - trackers
    for process in stopped:
        _send(process, signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while any(_sessions(tracker) for tracker in trackers) and time.monotonic() < end:
        time.sleep(0.01)


def _send(process: int, signum: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signum)


def _is_tracker(process: int) -> bool:
    try:
        command = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return any(name in command for name in TRACKERS)


def _sessions(process: int) -> bool:
    state, _ = _state(process)
    return state not in ("", "Z", "X")


def _state(process: int | str) -> tuple[str, int]:
    """Return the state of a process and its parent (proc_pid_stat(5)); "" where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])


def _children() -> dict[int, list[int]]:
    """Return the children of all processes."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            _, parent = _state(name)
            found.setdefault(parent, []).append(int(name))
    return found

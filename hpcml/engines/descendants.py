"""Processes that a worker's tasks have started: they end with the worker.

A pool of loky or multiprocessing within a task has a resource tracker, which removes semaphores and memory maps
when all processes that use them have ended. So all processes below a worker are killed except the trackers, which
then end by themselves. They are stopped first, so that they start no others meanwhile.
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

__all__ = ["adopt_orphans", "end_orphans", "end_trees", "halt", "process_state"]

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
TRACKERS = (b"loky.backend.resource_tracker", b"multiprocessing.resource_tracker")
TRACKER_TIMEOUT_SECONDS = 5.0  # for a tracker to clean up


def adopt_orphans() -> None:
    """Become the parent of orphans: of processes whose parent, a descendant of this process, has ended."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_orphans(own: Collection[int]) -> None:
    """End the children of this process but its `own`, with all processes below them."""
    end_trees([child for child in _children().get(os.getpid(), []) if child not in own])


def halt(processes: Collection[int]) -> None:
    """Stop processes at once, before `end_trees` ends them: they do and answer nothing more."""
    for process in processes:
        _send(process, signal.SIGSTOP)


def end_trees(processes: Collection[int]) -> None:
    """Kill processes with all below them, except resource trackers, which get time to clean up."""
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
    end = time.monotonic() + TRACKER_TIMEOUT_SECONDS
    while any(_is_running(tracker) for tracker in trackers) and time.monotonic() < end:
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


def _is_running(process: int) -> bool:
    state, _ = _state(process)
    return state not in ("", "Z", "X")


def _state(process: int | str) -> tuple[str, int]:
    """Return the state of a process and its parent (proc_pid_stat(5)); "" where there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[0], int(fields[1])


def process_state(process: int) -> str:
    """Return the state of a process, a letter of proc_pid_stat(5); "" where there is none."""
    return _state(process)[0]


def _children() -> dict[int, list[int]]:
    """Return the children of all processes."""
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            _, parent = _state(name)
            found.setdefault(parent, []).append(int(name))
    return found

"""What a forked worker needs to be a process like any other, and to end like one."""

import contextlib
import os
import signal

__all__ = ["close_input", "default_signals", "end_group"]


def default_signals() -> None:
    """Give a forked process the signal handlers that Python starts with."""
    signal.set_wakeup_fd(-1)
    for signum in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def close_input() -> None:
    """Have a forked process read nothing from its standard input."""
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.close(silence)


def end_group(process: int) -> None:
    """Kill the processes of a worker's group: what its tasks have started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)

"""A forked worker as a process like any other."""

import os
import signal

__all__ = ["close_input", "default_signals"]


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

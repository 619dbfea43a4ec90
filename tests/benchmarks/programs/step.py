"""Slurm step, or another program, that runs beside the user's and ends with it."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

START_TIMEOUT = 240


@contextmanager
def running(argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, which is ended on exit; its output is in a file of its name."""
    with open(f"{argv[0].rpartition('/')[2]}.log", "ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(20)


def wait_for(what: str, there: Callable[[], bool], timeout: float = START_TIMEOUT) -> None:
    """Wait until `there`; TimeoutError names the thing that did not come."""
    end = time.monotonic() + timeout
    while not there():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not there after {timeout} s")
        time.sleep(0.02)


def own_address() -> str:
    """Return the IPv4 address under which the nodes reach this one."""
    return socket.gethostbyname(socket.gethostname())

"""Commands of a process in a container, which a relay starts outside, where Slurm is installed.

::

    in the container                     outside: `hpcml run`, which has started the container
    RelayedChild ── request, descriptors ──> relay_server.Relay: starts the command with these descriptors
                 <── {"started": …} ────────
                 ── {"signal": number} ────> to the command's process group
                 <── {"status": number} ───  the command has ended
                 ── end of the connection ─> the command is ended

One connection of a Unix socket for each command. The socket has mode 0600 in a directory of mode 0700, and serves
processes of the same user alone (SO_PEERCRED, unix(7)).
"""

import contextlib
import json
import math
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

__all__ = ["RelayedChild", "end_with_relay", "run_relayed", "start_relayed"]

START_TIMEOUT_SECONDS = 30.0
LENGTH = struct.Struct("!I")


class RelayedChild:
    """Command that a `Relay` has started; the part of `subprocess.Popen` that `hpcml.slurm.process` uses.

    Parameters
    ----------
    env
        Its variables, without the image's own; None: those of the relay.
    streams
        Descriptors of its standard input, output and error.
    inherit
        Descriptors that it inherits; a word ``/proc/self/fd/<number>`` of `argv` names one of them.

    Raises
    ------
    OSError
        The command cannot be started, or the relay has ended.
    """

    def __init__(
        self,
        path: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        streams: Sequence[int],
        inherit: Sequence[int] = (),
    ) -> None:
        variables = None if env is None else dict(env)
        request = {"argv": list(argv), "env": variables, "directory": os.getcwd(), "inherit": list(inherit)}
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._lock = threading.Lock()  # of what is read from the connection, and of the status
        self._received = b""
        self._status: int | None = None
        try:
            self._connection.settimeout(START_TIMEOUT_SECONDS)
            self._connection.connect(path)
            content = json.dumps(request).encode()
            socket.send_fds(self._connection, [LENGTH.pack(len(content))], [*streams, *inherit])
            self._connection.sendall(content)
            answer = self._next_answer(time.monotonic() + START_TIMEOUT_SECONDS)
            if answer is None or "started" not in answer:
                raise OSError((answer or {}).get("error", f"the relay at {path} does not answer"))
        except BaseException:
            self._connection.close()
            raise

        self.stdin: IO[bytes] | None = None
        self.stdout: IO[bytes] | None = None

    def _next_answer(self, deadline: float) -> dict[str, Any] | None:
        """Return the next answer; None where there is none until `deadline`, or the status is known."""
        while self._status is None:
            with self._lock:
                if b"\n" not in self._received and self._is_readable(0):
                    self._received += self._connection.recv(4096) or _end_with_the_relay()
                line, found, rest = self._received.partition(b"\n")
                if found:
                    self._received = rest
                    answer: dict[str, Any] = json.loads(line)
                    if "status" in answer:
                        self._status = answer["status"]
                        self._connection.close()
                    return answer
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._is_readable(min(left, 0.5))
        return None

    def _is_readable(self, seconds: float) -> bool:
        try:
            return bool(select.select([self._connection], [], [], seconds)[0])
        except (OSError, ValueError):  # another thread has read the status, and closed the connection
            return False

    def poll(self) -> int | None:
        """Return the exit status; None while the command runs."""
        self._next_answer(0)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit status; see `subprocess.Popen.wait`."""
        deadline = time.monotonic() + (math.inf if timeout is None else timeout)
        self._next_answer(deadline)
        if self._status is None:
            raise subprocess.TimeoutExpired("a command outside the container", timeout or 0)
        return self._status

    def close(self) -> None:
        """End the command, if it still runs, by the end of the connection."""
        self._connection.close()

    def send_signal(self, number: int) -> None:
        """Send a signal to the process group of the command."""
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps({"signal": int(number)}).encode() + b"\n")


def _end_with_the_relay() -> bytes:
    """Send this process SIGTERM, as Slurm would, and return the status of a command whose relay was killed."""
    os.kill(os.getpid(), signal.SIGTERM)
    return b'{"status": -1}\n'


def end_with_relay(path: str) -> None:
    """Send this process SIGTERM when the relay ends, also where it is killed; a thread waits for that.

    Parameters
    ----------
    path
        The socket of the relay.

    Raises
    ------
    OSError
        The relay has ended.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)

    def _wait() -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=_wait, name="hpcml-relay-end", daemon=True).start()


def run_relayed(
    path: str, argv: Sequence[str], env: Mapping[str, str] | None, timeout: float, inherit: Sequence[int] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, as `subprocess.run` does."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors, open(os.devnull, "rb") as nothing:
        child = RelayedChild(path, argv, env, [nothing.fileno(), out.fileno(), errors.fileno()], inherit)
        try:
            status = child.wait(timeout)
        finally:
            child.close()
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(argv, status, out.read().decode(), errors.read().decode())


def start_relayed(path: str, argv: Sequence[str], env: Mapping[str, str], stderr: IO[bytes]) -> RelayedChild:
    """Start a command with pipes for its standard input and output."""
    input_end, stdin = os.pipe()
    stdout, output_end = os.pipe()
    try:
        child = RelayedChild(path, argv, env, [input_end, output_end, stderr.fileno()])
    except BaseException:
        os.close(stdin)
        os.close(stdout)
        raise
    finally:
        os.close(input_end)
        os.close(output_end)
    child.stdin, child.stdout = open(stdin, "wb"), open(stdout, "rb")  # noqa: SIM115  the caller's
    return child

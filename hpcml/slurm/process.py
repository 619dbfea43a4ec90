"""Child processes: commands that run to their end, and programs that exchange messages with this process."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from hpcml.errors import CommandError
from hpcml.slurm.message_lines import MessageReader
from hpcml.slurm.relay import RelayedChild, run_relayed, start_relayed

__all__ = ["Inbox", "Program", "relay_commands", "run", "run_for_errors", "tail"]

Child = subprocess.Popen[bytes] | RelayedChild
EXIT_AFTER_OUTPUT_SECONDS = 5.0  # that a program may take from the end of its output to its own end

_relays: list[str] = []  # the socket of the relay, in a container


def relay_commands(path: str) -> None:
    """Have all commands started outside this container, by the `hpcml.slurm.relay.Relay` at `path`."""
    _relays[:] = [path]


def tail(text: str, lines: int = 20) -> str:
    """Return the last `lines` lines of `text`, indented for a message."""
    return "\n".join("    " + line for line in text.strip().splitlines()[-lines:]) or "    (nothing)"


def _shown(argv: Sequence[str]) -> str:
    """Return a command for a message, without the programs among its words."""
    return " ".join("…" if "\n" in word else word for word in argv)


def run(
    argv: Sequence[str],
    env: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    inherit: Sequence[int] = (),
) -> str:
    """Run a command and return its standard output; it inherits the file descriptors `inherit`.

    Raises
    ------
    CommandError
        The command cannot be started, fails, or takes longer than `timeout` seconds.

    Examples
    --------
    >>> from hpcml.slurm.process import run
    >>> run(["echo", "hello"])
    'hello\\n'
    """
    return _complete(argv, env, timeout, inherit).stdout


def run_for_errors(argv: Sequence[str], env: Mapping[str, str] | None = None, timeout: float = 30.0) -> str:
    """Run a command and return its standard error: some commands of Slurm print errors and exit with 0.

    Raises
    ------
    CommandError
        As for `run`.
    """
    return _complete(argv, env, timeout, ()).stderr


def _complete(
    argv: Sequence[str], env: Mapping[str, str] | None, timeout: float, inherit: Sequence[int]
) -> "subprocess.CompletedProcess[str]":
    shown = _shown(argv)
    try:
        done = _run(argv, env, timeout, inherit)
    except OSError as error:
        raise CommandError(f"`{shown}` cannot be started: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{shown}` did not end within {timeout:g} s") from error
    if done.returncode:
        raise CommandError(
            f"`{shown}` failed with exit code {done.returncode}; its standard error ended with\n"
            f"{tail(done.stderr)}\nand its standard output with\n{tail(done.stdout)}",
            done.stderr,
        )
    return done


def _run(
    argv: Sequence[str], env: Mapping[str, str] | None, timeout: float, inherit: Sequence[int]
) -> "subprocess.CompletedProcess[str]":
    if _relays:
        return run_relayed(_relays[0], argv, env, timeout, inherit)
    return subprocess.run(
        argv,
        env=env,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        pass_fds=inherit,
    )


def _start(argv: Sequence[str], env: Mapping[str, str], errors: IO[bytes]) -> Child:
    if _relays:
        return start_relayed(_relays[0], argv, env, errors)
    return subprocess.Popen(
        argv,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is for the driver, which then stops the program
    )


def _signal(child: Child, number: int) -> None:
    """Send a signal to the process group of a child."""
    if isinstance(child, RelayedChild):
        child.send_signal(number)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)


class Program:
    """Child process that exchanges objects in JSON with this one, over its standard input and output.

    The end of its input is its order to stop. It reads that end also when this process is killed.

    Parameters
    ----------
    name
        Its name in messages.
    inbox
        Queue of its messages, as ``(program, object)``; ``(program, None)`` when the program has ended, or has
        closed its output and not ended within 5 s.
    log
        File that its standard error is appended to, mode 0600.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str],
        inbox: "Inbox",
        log: Path,
    ) -> None:
        self.name = name
        self.log = log
        self._inbox = inbox
        with open(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as errors:
            try:
                self._process = _start(argv, env, errors)
            except OSError as error:
                raise CommandError(f"`{_shown(argv)}` cannot be started: {error}") from error
        self._reader = threading.Thread(target=self._read, name=f"hpcml-read-{name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        reader = MessageReader()
        for line in self._process.stdout:
            try:
                message = reader.read(line)
            except ValueError:
                # Not a message: a line that something on the node has printed.
                with open(self.log, "ab") as log:
                    log.write(line)
            else:
                if message is not None:
                    self._inbox.put((self, message))
        # The output ends a moment before the process, whose status belongs to the news of its end.
        self.wait(time.monotonic() + EXIT_AFTER_OUTPUT_SECONDS)
        self._inbox.put((self, None))

    def send(self, message: Mapping[str, object]) -> None:
        """Send one object; nothing happens if the program has ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def status(self) -> int | None:
        """The exit status; None while the program runs."""
        return self._process.poll()

    def close(self) -> None:
        """Order the program to stop, by the end of its input, without waiting."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def release_stdin(self) -> None:
        """Release the program's stdin in a fork of this process, which otherwise keeps it open."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._process.stdin.fileno(), inheritable=False)
            os.close(nowhere)

    def terminate(self) -> None:
        """Order the program to end, by SIGTERM to its process group, without waiting."""
        _signal(self._process, signal.SIGTERM)

    def wait(self, deadline: float) -> bool:
        """Wait for the program's end until `deadline` on the monotonic clock; return whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(deadline - time.monotonic(), 0))
        return self._process.poll() is not None

    def stop(self, grace: float = 5.0) -> None:
        """End the program by the end of its input, then SIGTERM, then SIGKILL, each after `grace` seconds."""
        self.close()
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.wait(time.monotonic() + grace):
                break
            _signal(self._process, sign)
        self.wait(time.monotonic() + grace)
        self._reader.join(grace)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def log_tail(self, lines: int = 20, label: str | None = None) -> str:
        """Return the end of the program's log; with `label`, of the lines that srun gave this label."""
        with contextlib.suppress(OSError):
            text = self.log.read_text(errors="replace").splitlines()
            if label is not None:
                text = [line.lstrip() for line in text if line.lstrip().startswith(f"{label}: ")]
            return tail("\n".join(deque(text, lines)), lines)
        return tail("")


Inbox = queue.SimpleQueue[tuple[Program | None, dict[str, Any] | None]]
"""Queue of the messages of several programs; None in place of a program stands for this process."""

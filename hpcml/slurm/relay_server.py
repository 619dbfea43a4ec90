"""Relay outside of a container: starts the commands of the process inside; see `hpcml.slurm.relay`."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from hpcml.errors import CommandError
from hpcml.slurm.relay import LENGTH

__all__ = ["Foreground", "Relay", "outside_environment"]

END_SECONDS = 5.0  # from SIGTERM to SIGKILL, for a command whose process in the container is gone
MAX_DESCRIPTORS = 16
_RUNTIME = ("APPTAINER", "SINGULARITY", "ENROOT_", "PYXIS_")  # variables of container runtimes begin so
_IMAGES_OWN = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "HOME", "SHELL", "PS1", "PROMPT_COMMAND")


def outside_environment(inside: Mapping[str, str] | None, outside: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a command outside: those `inside` the container, without the image's own.

    None stands for those `outside`.

    Examples
    --------
    >>> from hpcml.slurm.relay_server import outside_environment
    >>> outside_environment({"PATH": "/opt/conda/bin", "A": "1", "APPTAINER_NAME": "x"}, {"PATH": "/usr/bin"})
    {'A': '1', 'PATH': '/usr/bin'}
    """

    if inside is None:
        return dict(outside)
    kept = {name: value for name, value in inside.items() if not _is_images(name)}
    return kept | {name: value for name, value in outside.items() if _is_images(name)}


def _is_images(name: str) -> bool:
    return name in _IMAGES_OWN or name.startswith(_RUNTIME)


class Foreground:
    """Program with the standard streams of this process."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(argv, env=env)
        except OSError as error:
            raise CommandError(f"`{argv[0]}` cannot be started: {error}") from error

    def send_signal(self, number: int) -> None:
        """Send a signal to the program."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for the program's end; return its exit status, as a shell has it for a signal."""
        status = self._process.wait()
        return 128 - status if status < 0 else status


class Relay:
    """Socket that serves commands, in threads, until `close`.

    Parameters
    ----------
    path
        The socket, in a directory of this user alone.
    environment
        Variables of this process, of which commands get those that the image has its own of.
    """

    def __init__(self, path: Path, environment: Mapping[str, str]) -> None:
        self.path = path
        self._environment = environment
        self._children: set[subprocess.Popen[bytes]] = set()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            self._listener.bind(str(path))
        finally:
            os.umask(mask)
        self._listener.listen()
        threading.Thread(target=self._accept, name="hpcml-relay", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Start the command of one connection, and follow it to its end."""
        with connection, contextlib.suppress(OSError, ValueError):
            found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", found)[1] != os.getuid():
                return
            if not connection.recv(1, socket.MSG_PEEK):  # the end of a process that waited in `end_with_relay`
                return
            child = self._start(connection)
            if child is None:
                return
            self._children.add(child)
            connection.sendall(b'{"started": true}\n')
            reader = threading.Thread(target=self._follow, args=(connection, child), daemon=True)
            reader.start()
            status = child.wait()
            self._children.discard(child)
            connection.sendall(json.dumps({"status": status}).encode() + b"\n")
            reader.join(END_SECONDS)

    def _start(self, connection: socket.socket) -> subprocess.Popen[bytes] | None:
        head, descriptors, _, _ = socket.recv_fds(connection, LENGTH.size, MAX_DESCRIPTORS)
        try:
            (left,) = LENGTH.unpack(head)
            content = b""
            while len(content) < left:
                received = connection.recv(left - len(content))
                if not received:
                    return None
                content += received
            request = json.loads(content)
            stdin, stdout, stderr, *inherit = descriptors
            moved = {f"/proc/self/fd/{there}": f"/proc/self/fd/{here}"
                     for there, here in zip(request["inherit"], inherit, strict=True)}  # fmt: skip
            return subprocess.Popen(
                [moved.get(word, word) for word in request["argv"]],
                env=outside_environment(request["env"], self._environment),
                cwd=request["directory"] if os.path.isdir(request["directory"]) else None,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=inherit,
                start_new_session=True,
            )
        except OSError as error:
            connection.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
            return None
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _follow(self, connection: socket.socket, child: "subprocess.Popen[bytes]") -> None:
        """Pass signals on; end the command when its process in the container is gone."""
        with contextlib.suppress(OSError, ValueError), connection.makefile("rb") as lines:
            for line in lines:
                _signal(child, json.loads(line)["signal"])
        _end(child, END_SECONDS)

    def close(self) -> None:
        """Serve no more, end the commands that still run, and remove the socket."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends `accept` in its thread
        self._listener.close()
        for child in list(self._children):
            _end(child, END_SECONDS)
        self.path.unlink(missing_ok=True)


def _signal(child: "subprocess.Popen[bytes]", number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if child.poll() is None:
            os.killpg(child.pid, number)


def _end(child: "subprocess.Popen[bytes]", grace: float) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal(child, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
            return

"""A Redis server of a test: on a Unix socket, or on a port with password and TLS. It ends with its block."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import redis
from patience import patient

PROGRAM = shutil.which("redis-server")
WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
"""Words by which the kernel ends a program with its parent, also where that is killed."""
PASSWORD = "p4ss-w0rd-of-the-test"


class RedisServer:
    """Server with an append-only file in `directory`, so that it comes back with all that it had.

    url: its address, with the password. client: of the test. process: of the server.
    """

    def __init__(self, directory: Path, tls: bool = False) -> None:
        self.directory = directory
        directory.mkdir()
        self._words = ["--appendonly", "yes", "--dir", str(directory), "--save", ""]
        if tls:
            port = free_port()
            certificate, key = make_certificate(directory)
            self._words += ["--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1"]
            self._words += ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"]
            self._words += ["--requirepass", PASSWORD]
            self.url = f"rediss://:{PASSWORD}@localhost:{port}/0?ssl_ca_certs={certificate}"
        else:
            self._words += ["--port", "0", "--unixsocket", str(directory / "socket"), "--unixsocketperm", "700"]
            self.url = f"unix://{directory / 'socket'}"
        self.client = redis.Redis.from_url(self.url)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "RedisServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.kill()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        assert PROGRAM is not None
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen([*WITH_PARENT, PROGRAM, *self._words], stdout=log, stderr=log)
        end = time.monotonic() + patient(20)
        while True:
            try:
                self.client.ping()
                return
            except redis.exceptions.ConnectionError:
                assert time.monotonic() < end, (self.directory / "log").read_text()
                assert self.process.poll() is None, (self.directory / "log").read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server, as a crash of it does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def make_certificate(directory: Path) -> tuple[str, str]:
    """Make a certificate of localhost, signed by itself; return its file and that of its key."""
    certificate, key = str(directory / "certificate.pem"), str(directory / "key.pem")
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*words, "-out", certificate, "-keyout", key], check=True, capture_output=True)
    return certificate, key

"""Directory in which the command on the login node and the server in the job meet; only their user can enter.

::

    login node   config.json (the token) ──> job      offer.json (the node's addresses) ──> login node
    login node   address (one that it reaches) ──> job      runtime/jpserver-….json (the port) ──> login node
"""

import contextlib
import json
import secrets
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcml.engines.nodes.messages import Offer
from hpcml.errors import HpcmlError
from hpcml.journal.private_files import write_atomic, write_new

__all__ = ["Place", "Server"]


@dataclass(frozen=True)
class Server:
    """A JupyterLab that runs: its node, and the address and port at which it listens."""

    node: str
    address: str
    port: int


class Place:
    """The directory, ``.hpcml/jupyter-<random>``.

    Parameters
    ----------
    path
        Its path, the same on the login node and on the nodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def new(cls, directory: Path) -> "Place":
        """Make the directory below `directory`, with a new token.

        Raises
        ------
        HpcmlError
            It cannot be made.
        """
        place = cls(directory / ".hpcml" / f"jupyter-{secrets.token_hex(4)}")
        settings = {
            "ServerApp": {"open_browser": False},
            "IdentityProvider": {"token": secrets.token_hex(24)},
            # The messages of the kernels, over ports of the node, which all its users reach.
            "KernelManager": {"transport_encryption": "auto"},
        }
        try:
            place.path.parent.mkdir(mode=0o700, exist_ok=True)
            place.path.mkdir(mode=0o700)
            write_new(place.config, json.dumps(settings).encode())
        except OSError as error:
            raise HpcmlError(
                f"the directory for JupyterLab's token cannot be made: {error}. Change to a directory that you "
                "can write to, or name one with --chdir=DIR"
            ) from error
        return place

    @property
    def config(self) -> Path:
        """JupyterLab's configuration, which holds the token; mode 0600."""
        return self.path / "config.json"

    @property
    def runtime(self) -> Path:
        """Directory for the files of JupyterLab and its kernels."""
        return self.path / "runtime"

    @property
    def token(self) -> str:
        """The token that a browser needs."""
        return str(json.loads(self.config.read_text())["IdentityProvider"]["token"])

    def make_offer(self, offer: Offer) -> None:
        """Write the node's addresses."""
        write_atomic(self.path / "offer.json", json.dumps({**offer, "node": socket.gethostname()}).encode())

    def offer(self) -> dict[str, Any] | None:
        """Return the node's addresses, None before the job has started."""
        return _read(self.path / "offer.json")

    def choose(self, address: str) -> None:
        """Write the address at which the server shall listen."""
        write_atomic(self.path / "address", address.encode())

    def chosen(self) -> str | None:
        """Return the address at which the server shall listen, None before the choice."""
        with contextlib.suppress(OSError):
            return (self.path / "address").read_text()
        return None

    def server(self) -> Server | None:
        """Return the server, None before it listens."""
        for file in self.runtime.glob("jpserver-*.json"):
            found = _read(file)
            offer = self.offer()
            if found is not None and offer is not None:
                return Server(offer["node"], self.chosen() or "127.0.0.1", found["port"])
        return None

    def remove(self) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):  # other runs are in it
            self.path.parent.rmdir()


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content of a file that is there, and is whole."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content

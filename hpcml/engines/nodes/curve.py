"""CURVE on sockets of zmq, SCOOP's among them: one key pair per run; messages without the key are dropped.

SCOOP opens its sockets with ``zmq.Context()`` in two modules. In these two alone, the name ``zmq`` is bound to a
`_Zmq`, whose contexts make encrypted sockets. A socket that both binds and connects, as a worker's, is a server
where it binds and a client where it connects: libzmq reads the options at that moment (zmq_curve(7)).
"""

import hmac
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import zmq
import zmq.utils.z85

from hpcml.errors import HpcmlError
from hpcml.journal.private_files import read_private, write_new

__all__ = ["KeyPair", "create_keys", "new_keys", "read_keys", "secured"]

ANSWER_TIMEOUT_MILLISECONDS = 60_000  # of a peer, until it counts as lost
_DOMAIN = b"hpcml"


class KeyPair(NamedTuple):
    """The key pair of a run, as text of 40 characters each."""

    public: bytes
    secret: bytes


def new_keys() -> KeyPair:
    """Return a new key pair."""
    return KeyPair(*zmq.curve_keypair())


def create_keys(path: Path) -> KeyPair:
    """Make a key pair and write it to a new file, mode 0600."""
    keys = new_keys()
    write_new(path, b"\n".join(keys))
    return keys


def read_keys(path: Path) -> KeyPair:
    """Return the key pair that `create_keys` has written to `path`.

    Raises
    ------
    HpcmlError
        The file is missing, cut off, a link, another user's, or open to others.
    """
    advice = "It is the key of the run, whose directory must be one that all nodes share: --run-dir=…"
    found = read_private(path, advice).split()
    if [len(key) for key in found] != [40, 40]:
        raise HpcmlError(f"{path} is no key pair: start the run again")
    return KeyPair(*found)


def secured(keys: KeyPair, address: Callable[[], str]) -> "_Zmq":
    """Return the replacement of the module zmq in SCOOP's modules.

    Parameters
    ----------
    address
        Returns the address to bind to in place of all addresses.
    """
    socket = type("Socket", (_Socket,), {"_keys": keys, "_own_address": staticmethod(address)})
    return _Zmq(keys, type("Context", (zmq.Context,), {"_socket_class": socket}))


class _Socket(zmq.Socket):  # type: ignore[type-arg]
    """Encrypted socket: a server when it binds, a client when it connects."""

    _keys: KeyPair
    _own_address: Callable[[], str]

    def bind(self, addr: str) -> Any:
        """Serve clients that have the run's key, at one address."""
        self.ipv6 = False  # addresses here are IPv4's; with IPv6, libzmq would show them in another form
        self.curve_server = True
        self.curve_publickey, self.curve_secretkey = self._keys
        self.zap_domain = _DOMAIN
        if hasattr(zmq, "ZAP_ENFORCE_DOMAIN"):
            self.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # no connection without a check of its key
        return super().bind(addr.replace("//*:", f"//{self._own_address()}:"))

    def connect(self, addr: str) -> Any:
        """Connect to a server that has the run's key."""
        self.ipv6 = False
        self.curve_server = False
        self.curve_publickey, self.curve_secretkey = self._keys
        self.curve_serverkey = self._keys.public
        if self.type == zmq.DEALER:
            self.sndtimeo = self.rcvtimeo = ANSWER_TIMEOUT_MILLISECONDS
        if self.type == zmq.SUB:
            return self._connect_now(addr)
        return super().connect(addr)

    def _connect_now(self, addr: str) -> Any:
        """Connect, and wait for the handshake: messages that are published before it are lost."""
        monitor = self.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        try:
            connected = super().connect(addr)
            if not monitor.poll(ANSWER_TIMEOUT_MILLISECONDS):
                raise zmq.Again(msg=f"no answer from {addr}")
            return connected
        finally:
            self.disable_monitor()
            monitor.close()

    def __del__(self) -> None:
        self.close()  # SCOOP calls this to close; zmq's own warns of it


class _Zmq:
    """The module zmq, except for its contexts."""

    def __init__(self, keys: KeyPair, context: Any) -> None:
        self._key = zmq.utils.z85.decode(keys.public)
        self._context = context

    def __getattr__(self, name: str) -> Any:
        return getattr(zmq, name)

    def Context(self, *args: Any) -> Any:  # noqa: N802  zmq's name
        """Return a context whose sockets encrypt, and whose servers admit the run's own key only."""
        context = self._context(*args)
        # The handler's own socket is an ordinary one, in the same context, and ends with the context.
        plain: zmq.Context[Any] = zmq.Context.shadow(context.underlying)
        handler = plain.socket(zmq.REP)
        handler.linger = 0
        handler.bind("inproc://zeromq.zap.01")
        threading.Thread(target=_admit, args=(handler, self._key), name="hpcml-zap", daemon=True).start()
        return context


def _admit(handler: Any, key: bytes) -> None:
    """Answer libzmq's requests to admit a client (RFC 27/ZAP) until the context ends."""
    try:
        while True:
            version, number, _, _, _, mechanism, *credentials = handler.recv_multipart()
            admitted = mechanism == b"CURVE" and len(credentials) == 1 and hmac.compare_digest(credentials[0], key)
            status = (b"200", b"OK") if admitted else (b"400", b"no")
            handler.send_multipart([version, number, *status, b"", b""])
    except zmq.ZMQError:  # the context has ended
        pass
    finally:
        handler.close()

"""Addresses of a host, and which of them other nodes reach: each is tried with a token before one is chosen."""

import contextlib
import select
import socket
from collections.abc import Iterable, Sequence

__all__ = ["answer_probes", "listen", "own_addresses", "reach"]

PROBE_SECONDS = (2.0, 10.0)  # until an address counts as one that does not answer: at first, and the second time
SILENT = "timed out"  # as the module socket says it


def own_addresses() -> list[str]:
    """Return this node's IPv4 addresses, loopback first: ipyparallel's sockets do not speak IPv6."""
    import psutil  # the launchers of nodes do without

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [address for name, addresses in psutil.net_if_addrs().items() if name in up for address in addresses]
    inet = [address.address for address in found if address.family == socket.AF_INET]
    loopback = [address for address in inet if address.startswith("127.")]
    return loopback + [address for address in inet if address not in loopback]


def listen(addresses: list[str]) -> dict[str, socket.socket]:
    """Open a listener on an ephemeral port of each address that allows it."""
    listeners = {}
    for address in addresses:
        with contextlib.suppress(OSError):
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            listener.bind((address, 0))
            listener.listen(128)
            listeners[address] = listener
    return listeners


def answer_probes(listeners: Iterable[socket.socket], token: bytes, until: int) -> None:
    """Greet whoever connects with `token`, until the file descriptor `until` has something to read."""
    sockets = list(listeners)
    waited: list[socket.socket | int] = [*sockets, until]
    while True:
        ready = select.select(waited, [], [])[0]
        if until in ready:
            return
        for listener in [listener for listener in sockets if listener in ready]:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(1)
                    connection.sendall(token)


def reach(
    addresses: Iterable[tuple[str, int]], token: bytes, timeouts: Sequence[float] = PROBE_SECONDS
) -> dict[str, str]:
    """Try each address; return what happened there, "" where a listener greeted with `token`.

    The token tells the controller from a stranger at the same address: 127.0.0.1, or the address of a
    container bridge, exist on every node. While none has greeted, those that gave no answer are tried again with
    the next of `timeouts`: a host that is busy is no firewall.
    """
    found: dict[str, str] = {}
    ports = dict(addresses)
    for timeout in timeouts:
        for address, port in ports.items():
            if found.get(address, SILENT) == SILENT:
                found[address] = _greeting(address, port, token, timeout)
        if "" in found.values():
            break
    return found


def _greeting(address: str, port: int, token: bytes, timeout: float) -> str:
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.settimeout(timeout)
            seen = connection.recv(len(token), socket.MSG_WAITALL)
            return "" if seen == token else "somebody else answers"
    except OSError as error:
        return error.strerror or str(error)

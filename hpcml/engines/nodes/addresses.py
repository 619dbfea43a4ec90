"""Addresses of a host: offered to the nodes, tried from everywhere, and one chosen that all reach.

::

    server: AddressOffer ── addresses, ports, token ──> nodes: reach ── reached, or the error ──> common_addresses
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait

from hpcml.engines.nodes.messages import Offer

__all__ = ["AddressOffer", "common_addresses", "offered_addresses", "reach", "unreachable"]

PROBE_SECONDS = (2.0, 10.0)  # until an address counts as one that does not answer: at first, and the second time
TIMED_OUT = "timed out"  # as the module socket reports it


def _own_addresses() -> list[str]:
    """Return this host's IPv4 addresses, loopback first: the sockets of the engines are IPv4's."""
    import psutil  # the programs of nodes that only try addresses do without

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [address for name, addresses in psutil.net_if_addrs().items() if name in up for address in addresses]
    inet = [address.address for address in found if address.family == socket.AF_INET]
    loopback = [address for address in inet if address.startswith("127.")]
    return loopback + [address for address in inet if address not in loopback]


class AddressOffer:
    """Listeners at all addresses of this host, which greet each client with a token.

    ``message`` holds the addresses, their ports and the token.
    """

    def __init__(self) -> None:
        self._listeners: list[socket.socket] = []
        self._token = os.urandom(16)
        pairs = []
        for address in _own_addresses():
            with contextlib.suppress(OSError):
                listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                listener.bind((address, 0))
                listener.listen(128)
                self._listeners.append(listener)
                pairs.append((address, listener.getsockname()[1]))
        self.message: Offer = {"addresses": pairs, "token": self._token.hex()}

    def answer_probes(self, until: int) -> None:
        """Greet all clients until the file descriptor `until` has something to read."""
        waited: list[socket.socket | int] = [*self._listeners, until]
        while True:
            ready = wait(waited)
            if until in ready:
                return
            for listener in [listener for listener in self._listeners if listener in ready]:
                with contextlib.suppress(OSError):
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(1)
                        connection.sendall(self._token)

    def close(self) -> None:
        """Close the listeners."""
        for listener in self._listeners:
            listener.close()


@contextmanager
def offered_addresses() -> Iterator[Offer]:
    """Answer probes in a thread; yield the addresses, ports and token for the nodes."""
    offer = AddressOffer()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    answering = threading.Thread(target=offer.answer_probes, args=(reader,), daemon=True)
    answering.start()
    try:
        yield offer.message
    finally:
        os.write(writer, b"!")
        answering.join()
        offer.close()
        os.close(reader)
        os.close(writer)


def reach(
    addresses: Iterable[tuple[str, int]], token: bytes, timeouts: Sequence[float] = PROBE_SECONDS
) -> dict[str, str]:
    """Try each address; return the error of each, "" where a listener greeted with `token`.

    The token distinguishes the server from another program at the same address: 127.0.0.1, or the address of a
    container bridge, exist on every node. While no listener has greeted, addresses without an answer are tried
    again with the next of `timeouts`: a host that is busy is no firewall.
    """
    found: dict[str, str] = {}
    ports = dict(addresses)
    for timeout in timeouts:
        for address, port in ports.items():
            if found.get(address, TIMED_OUT) == TIMED_OUT:
                found[address] = _error_at(address, port, token, timeout)
        if "" in found.values():
            break
    return found


def _error_at(address: str, port: int, token: bytes, timeout: float) -> str:
    """Return the error of a connection to an address, "" where a listener greeted with `token`."""
    try:
        with socket.create_connection((address, port), timeout) as connection:
            connection.settimeout(timeout)
            seen = connection.recv(len(token), socket.MSG_WAITALL)
            return "" if seen == token else "somebody else answers"
    except OSError as error:
        return error.strerror or str(error)


def common_addresses(reached: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the addresses that all hosts reach, in their order.

    Parameters
    ----------
    reached
        For each host the error at each address, "" where the address was reached; see `reach`.

    Examples
    --------
    >>> from hpcml.engines.nodes.addresses import common_addresses
    >>> common_addresses({"n1": {"127.0.0.1": "", "10.0.0.1": ""}, "n2": {"127.0.0.1": "refused", "10.0.0.1": ""}})
    ['10.0.0.1']
    """
    addresses = next(iter(reached.values()), {})
    return [address for address in addresses if all(seen.get(address) == "" for seen in reached.values())]


def unreachable(headline: str, reached: Mapping[str, Mapping[str, str]], without_ipv4: str) -> str:
    """Return the message for a server without an address that all hosts reach.

    Parameters
    ----------
    headline
        The first line, which names the server.
    reached
        See `common_addresses`.
    without_ipv4
        The advice where the server has no address but the loopback's.
    """
    lines = [f"{headline}:"]
    for host, seen in reached.items():
        tried = ", ".join(f"{address} {error or 'reached'}" for address, error in seen.items())
        lines.append(f"    {host}: {tried or 'none to try'}")
    addresses = {address for seen in reached.values() for address in seen}
    if all(address.startswith("127.") for address in addresses):
        lines.append(
            "Its node has no IPv4 address that others could reach (`ip -4 address` lists them), and "
            f"{without_ipv4}"
        )
    else:
        lines.append(
            "A firewall between the nodes, or between them and this host, is the usual cause. Run the script "
            "inside the allocation (with sbatch, or in `srun --pty --overlap -n1 bash`)."
        )
    return "\n".join(lines)

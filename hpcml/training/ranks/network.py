"""Port of rank 0, held from its choice until the process ends; addresses and interfaces of this host."""

import contextlib
import socket
from collections.abc import Iterable

from hpcml.errors import HpcmlError

__all__ = ["held_address", "hold_port", "interface_of", "interface_variables", "local_address", "own_address"]

_LOOPBACK = "127."
_DISCARD = 9  # a port: connecting a datagram socket sends nothing


def hold_port() -> int:
    """Return a port that no other socket gets until this process ends, unless with ``SO_REUSEADDR``.

    The socket that holds the port does not listen, so the listener of torch, or of gRPC, can take the port. These
    take it at all addresses, and so does the socket.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # for gRPC's listener, which sets the option
    holder.bind(("", 0))
    port = int(holder.getsockname()[1])
    holder.detach()  # no object closes it
    return port


def held_address(peers: Iterable[str], one_node: bool) -> str:
    """Return ``address:port`` of this host for its peers, with a port that `hold_port` holds.

    Raises
    ------
    HpcmlError
        There are several nodes, and this host has no address but those of loopback.
    """
    return f"{_LOOPBACK}0.0.1:{hold_port()}" if one_node else f"{own_address(peers)}:{hold_port()}"


def local_address(target: str) -> str:
    """Return the IPv4 address of this host from which `target` is reached; "" where there is no way.

    Examples
    --------
    >>> from hpcml.training.ranks.network import local_address
    >>> local_address("127.0.0.1")
    '127.0.0.1'
    """
    with contextlib.suppress(OSError, UnicodeError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target, _DISCARD))
        return str(probe.getsockname()[0])
    return ""


def own_address(peers: Iterable[str]) -> str:
    """Return the IPv4 address of this host that its peers reach.

    The own name is no help: Debian's installer gives it the address 127.0.1.1.

    Raises
    ------
    HpcmlError
        This host has no address but those of loopback.
    """
    found = [local_address(peer) for peer in peers if peer]
    found += [address for _, address in _interfaces()]
    for address in found:
        if address and not address.startswith(_LOOPBACK):
            return address
    raise HpcmlError(
        f"{socket.gethostname()}, the node of rank 0, has no IPv4 address that other nodes could reach "
        "(`ip -4 address` lists them), and ranks are on several nodes. Ask the administrators, or take one node: "
        "--nodes=1"
    )


def _interfaces() -> list[tuple[str, str]]:
    """Return name and IPv4 address of each interface that is up."""
    import psutil

    up = [name for name, state in psutil.net_if_stats().items() if state.isup]
    known = psutil.net_if_addrs()
    return [(name, one.address) for name in up for one in known.get(name, ()) if one.family == socket.AF_INET]


def interface_of(address: str) -> str:
    """Return the name of the interface with an address; "" where none has it.

    Examples
    --------
    >>> from hpcml.training.ranks.network import interface_of
    >>> interface_of("127.0.0.1"), interface_of("192.0.2.1")
    ('lo', '')
    """
    return next((name for name, known in _interfaces() if known == address), "")


def interface_variables(master: str, one_node: bool) -> dict[str, str]:
    """Return the variables that bind gloo, NCCL and TensorPipe to the interface to `master`.

    There are none where the interface is not known, or where it is loopback and there are several nodes.

    Examples
    --------
    >>> from hpcml.training.ranks.network import interface_variables
    >>> interface_variables("127.0.0.1", one_node=True)["NCCL_SOCKET_IFNAME"]
    '=lo'
    """
    address = local_address(master)
    name = interface_of(address) if one_node or not address.startswith(_LOOPBACK) else ""
    if not name:
        return {}
    # "=" is NCCL's word for this name and no other that begins with it.
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": f"={name}", "TP_SOCKET_IFNAME": name}

"""Orders of a launcher to its relay, and the relay's messages, over a socket that keeps messages apart.

::

    launcher -> relay      {"forked": slot, "generation": …}, with the worker's socket
    launcher -> relay      {"died": slot, "generation": …, "status": text}
    launcher -> relay      {"bind": address}
    relay -> launcher      {"mapped": files in /dev/shm}                 MPI has started
    relay -> launcher      what `message_types` has of a relay; the launcher adds the node, and passes it on
"""

import json
import socket
from typing import Any, TypedDict

__all__ = ["LARGEST_ORDER", "RelayOrder", "receive_order", "send_order"]

LARGEST_ORDER = 1 << 16  # bytes


class RelayOrder(TypedDict):
    """Place of a relay among the others.

    Parameters
    ----------
    node, first
        Name of this relay's node, and the number of its first slot.
    hub
        Name of the node whose relay has the link.
    firsts
        Number of the first slot of each node.
    keys
        Keys of the link.
    has_pmix
        Slurm's plugin pmix has started the step.
    """

    node: str
    hub: str
    firsts: dict[str, int]
    keys: list[str]
    has_pmix: bool


def send_order(connection: socket.socket, order: dict[str, Any], descriptor: int | None = None) -> None:
    """Send an order with a file descriptor, or none, over a socket that keeps messages apart."""
    content = json.dumps(order).encode()
    if descriptor is None:
        connection.send(content)
    else:
        socket.send_fds(connection, [content], [descriptor])


def receive_order(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Return an order, and its file descriptors; None at the end."""
    content, descriptors, _, _ = socket.recv_fds(connection, LARGEST_ORDER, 1)
    return (json.loads(content), descriptors) if content else None

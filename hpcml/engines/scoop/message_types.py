"""Messages between the script's process (the origin) and the programs of the nodes: a table, and their types.

::

    node -> origin    {"here": node}
    origin -> nodes   {"probe": {"addresses": [[address, port], …], "token": …}}
    node -> origin    {"node": …, "reached": {address: "", or the error}}
    origin -> nodes   {"nodes": {name: {"slots": …, "cpus_per_slot": …, "cpus": …}}, "pool": …}
    node -> origin    {"node": …, "stream": 1 or 2, "text": …}      prints of the workers
    node -> origin    {"node": …, "slot": …, "died": cause}
    origin -> nodes   {"alive": true}, answered with                {"alive": node}

How messages are written and read is in `hpcml.engines.nodes.messages`.
"""

from typing import TypedDict

from hpcml.engines.nodes.messages import Offer

__all__ = ["News", "NodeShare", "Order", "PoolSettings", "StartOrder"]


class PoolSettings(TypedDict):
    """Settings that the origin and all workers share.

    ``ports`` are the broker's, for tasks and for news; ``size`` is the number of processes, the origin included.
    """

    address: str
    ports: tuple[int, int]
    size: int
    script: str
    args: list[str]
    directory: str


class NodeShare(TypedDict):
    """Slots of one node, and their CPUs."""

    slots: int
    cpus_per_slot: int
    cpus: int | None


class StartOrder(TypedDict):
    """Order to fork the workers."""

    nodes: dict[str, NodeShare]
    pool: PoolSettings


class Order(TypedDict, total=False):
    """Another order of the origin: one of these."""

    alive: bool
    probe: Offer


class News(TypedDict, total=False):
    """Message of a node; the table above says which keys come together."""

    alive: str
    died: str
    here: str
    node: str
    reached: dict[str, str]
    slot: int
    stream: int
    text: str

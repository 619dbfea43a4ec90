"""Messages between the driver and the launchers of the MPI step: a table, and their types.

::

    launcher -> driver     {"here": node}
    driver -> launchers    {"start": {"nodes": {name: …}, "hub": name, "keys": …, "directory": …, "data": …,
                                      "generation": of the workers before the first}}
    launcher -> driver     {"node": …, "addresses": [[address, port], …], "token": …}    of the hub's relay
    launcher -> driver     {"node": …, "error": text}                                    of a relay
    driver -> launchers    {"bind": address}
    launcher -> driver     {"node": …, "port": number}, or {"node": …, "socket": name}   of the hub's link
    launcher -> driver     {"node": …, "data": {"directories": …, "step": …}, "note": …, "gpus": count}
    launcher -> driver     {"node": …, "died": [number of the slot, generation]}         after its prints
    launcher -> driver     {"node": …, "stopped": slot}               its worker is stopped, and is killed
    launcher -> driver     {"node": …, "given_up": slot}              its workers have died again and again
    launcher -> driver     {"node": …, "slot": …, "stream": …, "printed": …}             see `engines.ipyparallel`
    driver -> launchers    {"kill": [node, slot, generation]}
    driver -> launchers    {"alive": true}                            are you there?
    launcher -> driver     {"alive": node}
    driver -> launchers    {"room": number}, {"remove": path}
    launcher -> driver     {"node": …, "room": {directory: bytes}, "asked": number}

Frames, outcomes, and the beginnings and ends of workers are packets; see `packet`.
"""

from typing import TypedDict

from hpcml.engines.nodes.messages import DataOrder, NodeNews, NodeOrder

__all__ = ["News", "NodeShare", "Order", "StartOrder"]


class NodeShare(TypedDict):
    """Slots of one node, and the number of the first."""

    slots: int
    cpus_per_slot: int
    cpus: int | None
    first: int


class StartOrder(TypedDict):
    """Order to start a relay and the workers on each node."""

    nodes: dict[str, NodeShare]
    hub: str
    keys: list[str]
    directory: str
    data: DataOrder
    generation: int


class Order(NodeOrder, total=False):
    """Order of the driver to the launchers: one of these."""

    alive: bool
    bind: str
    kill: tuple[str, int, int]
    start: StartOrder


class News(NodeNews, total=False):
    """Message of a launcher to the driver; the table above says which keys come together."""

    addresses: list[tuple[str, int]]
    alive: str
    died: tuple[int, int]
    error: str
    given_up: int
    gpus: int
    here: str
    note: str
    port: int
    socket: str
    stopped: int
    token: str

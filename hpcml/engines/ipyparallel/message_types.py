"""Messages between the driver, its controller and its launchers: a table, and their types.

::

    launcher -> driver     {"here": node}
    controller -> driver   {"addresses": [[address, port], …]}        where it listens for a probe
    driver -> launchers    {"probe": {"addresses": …, "token": …}}
    launcher -> driver     {"node": …, "reached": {address: "" or what failed}}
    driver -> controller   {"bind": address}
    controller -> driver   {"client": {…}, "engine": {…}}             ipyparallel's connection information
    driver -> launchers    {"start": {"engine": …, "nodes": {name: …}, "stride": …, "directory": …,
                                      "data": {"name": …, "places": …, "shared": …},
                                      "generation": of the first engines, when a step is started again,
                                      "ranks": true, where no engine is forked before there is a world}}
    launcher -> driver     {"node": …, "forked": {id: slot}, "note": …, "gpus": count,
                            "data": {"directories": …, "step": …}}
    launcher -> driver     {"node": …, "died": id, "status": text, "forked": {id: slot}}
    launcher -> driver     {"node": …, "slot": …, "stream": 0 or 1, "printed": its bytes as Latin-1,
                            "readings": count, at the end of a reading; or "ended": true, after a death}
    driver -> launchers    {"world": {"number": …, "meeting": name, "size": …}}   fork engines as ranks of MPI
    driver -> launchers    {"kill": id}
    driver -> launchers    {"engine": null, or {…}}                   the controller is gone; there is another
    driver -> launchers    {"room": number}                           how much room have your directories?
    launcher -> driver     {"node": …, "room": {directory: bytes}, "asked": number}
    holder -> driver       {"node": …, "holds": "job.step"}           a step on the nodes that are left
    driver -> all          {"alive": true}                            are you there?
    all -> driver          {"alive": node, or "" for the controller}  the answer, and that to "world"
    driver -> launchers    {"remove": path}                           of a file of shared data

A holder is an idle step for sbcast. How messages are written and read is in `hpcml.engines.nodes.messages`.
"""

from typing import Any, TypedDict

from hpcml.engines.nodes.messages import DataOrder, NodeNews, NodeOrder, Offer

__all__ = ["Connection", "News", "NodeShare", "Order", "StartOrder", "WorldOrder"]

Connection = dict[str, Any]  # ipyparallel's connection information


class NodeShare(TypedDict):
    """Slots of one node, and the id of the first engine on it."""

    slots: int
    cpus_per_slot: int
    cpus: int | None
    first: int


class WorldOrder(TypedDict):
    """Order to replace all engines by ranks of MPI: of its world the number, the holders' socket and the ranks."""

    number: int
    meeting: str
    size: int


class _FirstStart(TypedDict):
    engine: Connection
    nodes: dict[str, NodeShare]
    stride: int
    directory: str
    data: DataOrder


class StartOrder(_FirstStart, total=False):
    """Order to fork the engines; ``generation`` is there when a step is started again, ``ranks`` with MPI."""

    generation: int
    ranks: bool


class Order(NodeOrder, total=False):
    """Order of the driver to its launchers, or to its controller: one of these."""

    alive: bool
    bind: str
    engine: Connection | None
    kill: int
    probe: Offer
    start: StartOrder
    world: WorldOrder


class News(NodeNews, total=False):
    """Message of a program to the driver; the table above says which keys come together."""

    addresses: list[tuple[str, int]]
    alive: str
    client: Connection
    died: int
    engine: Connection
    forked: dict[str, int]
    gpus: int
    here: str
    note: str
    reached: dict[str, str]
    status: str
    token: str

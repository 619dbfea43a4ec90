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
                                      "generation": of the first engines, when a step is started again}}
    launcher -> driver     {"node": …, "forked": {id: slot}, "note": …, "data": {"directories": …, "step": …}}
    launcher -> driver     {"node": …, "died": id, "status": text, "forked": {id: slot}}
    launcher -> driver     {"node": …, "slot": …, "stream": 0 or 1, "printed": its bytes as Latin-1,
                            "readings": count, at the end of a reading; or "ended": true, after a death}
    driver -> launchers    {"kill": id}
    driver -> launchers    {"engine": null, or {…}}                   the controller is gone; there is another
    driver -> launchers    {"room": number}                           how much room have your directories?
    launcher -> driver     {"node": …, "room": {directory: bytes}, "asked": number}
    holder -> driver       {"node": …, "holds": "job.step"}           a step on the nodes that are left
    driver -> all          {"alive": true}                            are you there?
    all -> driver          {"alive": node, or "" for the controller}
    driver -> launchers    {"remove": path}                           of a file of shared data

A holder is an idle step for sbcast. How messages are written and read is in `hpcml.engines.nodes.messages`.
"""

from typing import Any, TypedDict

from hpcml.engines.nodes.messages import Offer

__all__ = ["Connection", "DataOrder", "News", "NodeShare", "Order", "ReportedData", "StartOrder"]

Connection = dict[str, Any]  # ipyparallel's connection information


class NodeShare(TypedDict):
    """Slots of one node, and the id of the first engine on it."""

    slots: int
    cpus_per_slot: int
    cpus: int | None
    first: int


class DataOrder(TypedDict):
    """Directories for data that a launcher makes, and in the end removes."""

    name: str
    places: tuple[str, ...]
    shared: str


class _FirstStart(TypedDict):
    engine: Connection
    nodes: dict[str, NodeShare]
    stride: int
    directory: str
    data: DataOrder


class StartOrder(_FirstStart, total=False):
    """Order to fork the engines; ``generation`` is there when a step is started again."""

    generation: int


class Order(TypedDict, total=False):
    """Order of the driver to its launchers, or to its controller: one of these."""

    alive: bool
    bind: str
    engine: Connection | None
    kill: int
    probe: Offer
    remove: str
    room: int
    start: StartOrder


class ReportedData(TypedDict):
    """Directories for data that a launcher has made, and the Slurm step that it belongs to."""

    directories: list[str]
    step: str


class News(TypedDict, total=False):
    """Message of a program to the driver; the table above says which keys come together."""

    addresses: list[tuple[str, int]]
    alive: str
    asked: int
    client: Connection
    data: ReportedData
    died: int
    ended: bool
    engine: Connection
    forked: dict[str, int]
    here: str
    holds: str
    node: str
    note: str
    printed: str
    reached: dict[str, str]
    readings: int
    room: dict[str, int]
    slot: int
    status: str
    stream: int
    token: str

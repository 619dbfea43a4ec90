"""Types of the messages between the driver and its programs; `hpcml.engines.nodes.messages` has their order."""

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
    """Message of a program to the driver; `hpcml.engines.nodes.messages` says which keys come together."""

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

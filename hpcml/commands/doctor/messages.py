"""Messages of a probe, noted in the facts of its node."""

from collections.abc import Mapping
from typing import Any

from hpcml.commands.doctor.facts import Computer, NodeFacts

__all__ = ["note"]


def note(facts: NodeFacts, message: Mapping[str, Any], now: float, seconds: Mapping[str, float]) -> None:
    """Note a message of a node's probe, see `hpcml.commands.doctor.probe`.

    Parameters
    ----------
    now
        The driver's clock, in s since 1970.
    seconds
        The time since the step was started ("start"), and since the controller's offer was sent ("probe"), in s.

    Notes
    -----
    A clock that is read on the node between an order and the driver's receipt of it differs from the driver's by
    ``clock - now`` at least, and by ``seconds`` more at most. The bounds of several readings are joined.

    Examples
    --------
    >>> from hpcml.commands.doctor.facts import NodeFacts
    >>> from hpcml.commands.doctor.messages import note
    >>> facts = NodeFacts()
    >>> note(facts, {"to": "start", "clock": 107.0}, 100.0, {"start": 0.5})
    >>> note(facts, {"to": "probe", "clock": 108.0}, 101.25, {"start": 1.75, "probe": 0.25})
    >>> facts.start_seconds, facts.clock
    (0.5, (7.0, 7.0))
    """
    if "clock" in message:
        elapsed = seconds.get(message["to"], seconds["start"])
        low, high = message["clock"] - now, message["clock"] - now + elapsed
        before = facts.clock or (low, high)
        facts.clock = (max(before[0], low), min(before[1], high))
        if facts.start_seconds is None:
            facts.start_seconds = elapsed
    elif "stage" in message:
        facts.stages[message["part"]] = message["stage"]
    elif "computer" in message:
        facts.computer = Computer.from_plain(message["computer"])
    elif "imported" in message:
        facts.imports[message["imported"]] = message["result"]
    elif "described" in message:
        facts.described = True
    elif "files" in message:
        facts.files = message["files"]
    elif "driver" in message:
        facts.driver_reached = message["driver"]
    elif "controller" in message:
        facts.controller_reached = message["controller"]
    elif "offer_error" in message:
        facts.offer_error = message["offer_error"]
        facts.reached_back = {"its own addresses": facts.offer_error}

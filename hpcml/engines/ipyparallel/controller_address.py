"""Address of the controller: one that every node, and the driver, reaches."""

import logging

from hpcml.engines.ipyparallel.failures import unreachable
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.message_types import News
from hpcml.engines.nodes.addresses import common_addresses, reach
from hpcml.engines.nodes.messages import Offer
from hpcml.engines.plan import Plan
from hpcml.errors import EngineError

__all__ = ["Address"]

log = logging.getLogger("hpcml")


class Address:
    """Choice of an address: the controller offers its addresses, all nodes and the driver try them.

    ``chosen`` is the address, "" before the choice. ``reached`` maps each host to the errors at the addresses; see
    `hpcml.engines.nodes.addresses.reach`.
    """

    def __init__(self, plan: Plan, fleet: Fleet) -> None:
        self._plan = plan
        self._fleet = fleet
        self._offer: Offer | None = None
        self._lost: set[str] = set()
        self.reached: dict[str, dict[str, str]] = {}
        self.chosen = ""

    def take(self, message: News) -> None:
        """Take an offer of the controller, or a launcher's report of the addresses that it reaches."""
        if "reached" in message:
            self.reached[message["node"]] = message["reached"]
        else:
            self._try({"addresses": message["addresses"], "token": message["token"]})

    def _try(self, offer: Offer) -> None:
        """Order every node to try the addresses, and try them here; after a restart, use the chosen one again."""
        if self.chosen:
            self._fleet.controller.send({"bind": self.chosen})
            return
        self._offer = offer
        self._fleet.send_and_remember({"probe": offer})
        addresses = [(address, port) for address, port in offer["addresses"]]
        self.reached["this process"] = reach(addresses, bytes.fromhex(offer["token"]))

    def reset(self, lost: str) -> None:
        """Choose again: the controller is on another node than `lost`, whose report does not come."""
        self._lost.add(lost)
        self._offer = None
        self.reached = {}
        self.chosen = ""

    def choose(self, force: bool) -> None:
        """Choose the address when every node has reported, or with `force` when some have.

        Raises
        ------
        EngineError
            No address is reached by enough nodes; the message shows which nodes reach which address.
        """
        awaited = {node.name for node in self._plan.nodes} - self._lost
        missing = awaited - self.reached.keys()
        if self.chosen or not self._offer or (missing and not (force and len(self.reached) > 1)):
            return
        common = common_addresses(self.reached)
        self.chosen = common[0] if common else self._most_reached()
        self._fleet.controller.send({"bind": self.chosen})

    def _most_reached(self) -> str:
        """Return the address that most slots reach, and leave out the others, as far as `min_slots` allows."""
        here = self.reached["this process"]
        reaching = {
            address: [node for node in self._plan.nodes if self.reached.get(node.name, {}).get(address) == ""]
            for address, error in here.items()
            if not error
        }
        slots = {address: sum(node.slots for node in nodes) for address, nodes in reaching.items()}
        best = max(slots, key=lambda address: slots[address], default="")
        enough = slots.get(best, 0)
        if not 0 < (self._plan.min_slots or 0) <= enough:
            hint = f"\nTo go on with the nodes that reach one: Cluster(min_slots={enough})." if enough else ""
            raise EngineError(unreachable(self.reached) + hint)
        cut_off = {node.name for node in self._plan.nodes} - {node.name for node in reaching[best]}
        log.warning("%s", unreachable(self.reached))
        self._fleet.restart_without(cut_off)
        return best

"""At which of its addresses the launching process serves: one that every node reaches."""

import os
import threading
from typing import Any

from hpcml.engines.nodes.addresses import answer_probes, listen, own_addresses
from hpcml.errors import EngineError

__all__ = ["Offer", "choose"]


class Offer:
    """Listens at all addresses of this computer, and greets whoever connects with a token, until it is closed."""

    def __init__(self) -> None:
        self._listeners = listen(own_addresses())
        token = os.urandom(16)
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(
            target=answer_probes, args=(self._listeners.values(), token, self._reader), daemon=True
        )
        self._thread.start()
        pairs = [[address, listener.getsockname()[1]] for address, listener in self._listeners.items()]
        self.message: dict[str, Any] = {"probe": {"addresses": pairs, "token": token.hex()}}

    def close(self) -> None:
        """Listen no more."""
        os.write(self._writer, b"!")
        self._thread.join()
        for listener in self._listeners.values():
            listener.close()
        os.close(self._reader)
        os.close(self._writer)


def choose(reached: dict[str, dict[str, str]]) -> str:
    """Return the first address that all nodes reach.

    Parameters
    ----------
    reached
        For each node what happened at each address, "" where it was reached.

    Raises
    ------
    EngineError
        There is none; the message shows what was tried.

    Examples
    --------
    >>> from hpcml.engines.scoop.address import choose
    >>> choose({"n1": {"127.0.0.1": "", "10.0.0.1": ""}, "n2": {"127.0.0.1": "refused", "10.0.0.1": ""}})
    '10.0.0.1'
    """
    addresses = next(iter(reached.values()), {})
    for address in addresses:
        if all(seen.get(address) == "" for seen in reached.values()):
            return address
    tried = "".join(
        f"\n    {node}: "
        + (", ".join(f"{address} {what or 'reached'}" for address, what in seen.items()) or "none")
        for node, seen in reached.items()
    )
    raise EngineError(
        f"no address of this host, {os.uname().nodename}, can be reached from all nodes, and the script serves "
        f"its tasks here:{tried}\nA firewall between this host and the nodes is the usual cause. Run the script "
        "inside the allocation (with sbatch, or in `srun --pty --overlap -n1 bash`)."
    )

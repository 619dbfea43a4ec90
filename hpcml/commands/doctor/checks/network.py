"""Checks of the network: addresses that nodes and driver reach, host names, clocks."""

from collections.abc import Mapping

from hpcml.commands.doctor.facts import Computer, Facts
from hpcml.commands.doctor.finding import Finding, Severity, fine, grouped, listed
from hpcml.engines.nodes.addresses import common_addresses

__all__ = ["check_clocks", "check_controller", "check_driver", "check_names"]

_DRIVER = "this host"
_MAX_SKEW_SECONDS = 1.0
_SLOW_NAME_SECONDS = 2.0


def check_controller(facts: Facts) -> list[Finding]:
    """Check that all nodes, and the driver, reach one address of the controller's node."""
    reached = {
        name: node.controller_reached for name, node in facts.seen.items() if node.controller_reached is not None
    }
    if facts.controller not in facts.seen or not reached:
        return []
    here = facts.seen[facts.controller].reached_back
    common = common_addresses({**reached, **({_DRIVER: here} if here is not None else {})})
    check = "addresses"
    if common:
        return fine(check, f"all nodes and this host reach {facts.controller}, the controller's, at {common[0]}")
    best = _most_reached(reached)
    cut_off = {name: _errors(seen) for name, seen in reached.items() if seen.get(best)}
    found = grouped(
        Severity.WILL_FAIL,
        check,
        cut_off,
        f"workers connect to the controller on {facts.controller}; other nodes reach it at {best or 'none'}. A "
        "firewall between nodes, or a network that these nodes do not have, is the usual cause",
        f"ip -4 address   (on {facts.controller}, and on one of these)\nand continue with the others: "
        "Cluster(min_slots=1)",
    )
    if here is not None and (here.get(best) or not found):
        found.append(_driver_cut_off(facts, here))
    return found


def _driver_cut_off(facts: Facts, here: Mapping[str, str]) -> Finding:
    return Finding(
        Severity.WILL_FAIL,
        "addresses",
        (f"{_DRIVER}, {facts.driver.name}: {_errors(here)}",),
        f"the script connects to the controller on {facts.controller}; from here it cannot",
        "run the script inside the allocation: sbatch, or srun --pty --overlap -n1 bash",
    )


def _most_reached(reached: Mapping[str, Mapping[str, str]]) -> str:
    addresses = dict.fromkeys(address for seen in reached.values() for address in seen)
    counts = {address: sum(seen.get(address) == "" for seen in reached.values()) for address in addresses}
    # 127.0.0.1 is reached by the controller's own node alone.
    return max(counts, key=lambda address: (counts[address], not address.startswith("127.")), default="")


def _errors(seen: Mapping[str, str]) -> str:
    return ", ".join(f"{address} {error}" for address, error in seen.items() if error) or "no address to try"


def check_driver(facts: Facts) -> list[Finding]:
    """Check that nodes reach the driver, and the driver the nodes: libraries of others need it."""
    to_driver = {name: node.driver_reached for name, node in facts.seen.items() if node.driver_reached is not None}
    back = {name: node.reached_back for name, node in facts.seen.items() if node.reached_back is not None}
    if not to_driver or not back:
        return []
    cut_off = {
        name: f"to {_DRIVER}: {_errors(seen)}" for name, seen in to_driver.items() if "" not in seen.values()
    }
    cut_off |= {
        name: f"from {_DRIVER}: {_errors(seen)}"
        for name, seen in back.items()
        if "" not in seen.values() and name not in cut_off and name != facts.controller
    }
    if not cut_off:
        addresses = sorted({address for seen in to_driver.values() for address in seen if not seen[address]})
        return fine("to this host and back", f"each node, at {_listed_addresses(addresses)}")
    return grouped(
        Severity.SLOW,
        "to this host and back",
        cut_off,
        "hpcml itself needs the way to the controller's node alone; SCOOP's own workers and dask need this one",
        "run the script inside the allocation: sbatch, or srun --pty --overlap -n1 bash",
    )


def _listed_addresses(addresses: list[str], most: int = 3) -> str:
    """Return the first addresses, and the number of the others."""
    shown = addresses[:most]
    text = " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)
    return text if len(addresses) <= most else f"{text}, and {len(addresses) - most} more"


def check_names(facts: Facts) -> list[Finding]:
    """Check that the name of each host resolves, to an address that others can reach."""
    computers = facts.computers if facts.nodes or (facts.slurm and not facts.slurm.answers) else {}
    wrong = {name: _wrong_name(computer) for name, computer in computers.items() if _wrong_name(computer)}
    found = grouped(
        Severity.SLOW,
        "host names",
        wrong,
        "hpcml tries addresses instead of names; torch.distributed (gloo), dask, Ray and MPI look up the "
        "host's own name, and then listen where no other node reaches them",
        'getent ahostsv4 "$(hostname)"   (on such a node; 127.0.1.1 comes from its /etc/hosts: ask the '
        "administrators)\nand for torch: export GLOO_SOCKET_IFNAME=<the name of the interface>",
    )
    return found or (fine("host names", "each host's name resolves to an address of its own") if computers else [])


def _wrong_name(computer: Computer) -> str:
    if computer.name_error:
        return f"the host's own name does not resolve: {computer.name_error}"
    loopback = [address for address in computer.addresses if address.startswith("127.")]
    if loopback and len(loopback) == len(computer.addresses):
        return f"the host's own name resolves to {loopback[0]}, the loopback"
    if computer.name_seconds > _SLOW_NAME_SECONDS:
        return f"the look-up of its own name takes {computer.name_seconds:.0f} s"
    if computer.node and computer.name.split(".")[0] != computer.node.split(".")[0]:
        return f"the host's name {computer.name} is not Slurm's NodeName"
    return ""


def check_clocks(facts: Facts) -> list[Finding]:
    """Check that the clock of each node agrees with the driver's."""
    bounds = {name: node.clock for name, node in facts.seen.items() if node.clock is not None}
    if not bounds:
        return []
    wrong = {}
    for name, (low, high) in bounds.items():
        if low > _MAX_SKEW_SECONDS:
            wrong[name] = f"{low:.0f} s ahead of this host"
        elif high < -_MAX_SKEW_SECONDS:
            wrong[name] = f"{-high:.0f} s behind this host"
    found = grouped(
        Severity.SLOW,
        "clocks",
        wrong,
        "times of files and logs are wrong: make, caches and locks of other libraries rely on them; from 300 s "
        "on, Slurm's own messages are refused",
        f"srun --overlap -w {listed(tuple(wrong))} date   (and ask the administrators)" if wrong else "",
    )
    return found or fine("clocks", "no node differs from this host by more than a second")

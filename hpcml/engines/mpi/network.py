"""Network of the relays: Open MPI would else try each address of a node, also those of networks of its own."""

import contextlib
import fcntl
import shutil
import socket
import struct
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["tcp_variables"]

CHOICES = ("btl_tcp_if_include", "btl_tcp_if_exclude")
ENDPOINT = 9  # a port; connect(2) of a datagram socket sends nothing
SIOCGIFADDR = 0x8915  # linux/sockios.h
PEERS = 2  # whose names are looked up


def tcp_variables(peers: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable by which Open MPI's TCP uses the interface of this node that reaches its `peers`.

    It is empty where the user or the site has made the choice, or no peer is found.
    """
    if any(f"OMPI_MCA_{name}" in environment for name in CHOICES) or _is_configured(environment):
        return {}
    for peer in (*list(peers)[:PEERS], environment.get("SLURM_LAUNCH_NODE_IPADDR", "")):
        interface = _interface_of(_address_towards(peer))
        if interface:
            return {"OMPI_MCA_btl_tcp_if_include": interface}
    return {}


def _is_configured(environment: Mapping[str, str]) -> bool:
    """Return whether a file of Open MPI's parameters has the choice."""
    mpirun = shutil.which("mpirun", path=environment.get("PATH"))  # of a module of the site
    found = str(Path(mpirun).resolve().parents[1]) if mpirun else ""
    prefixes = [environment.get("OPAL_PREFIX", ""), found, sys.prefix, "/"]
    name = "openmpi-mca-params.conf"
    files = [Path(environment.get("HOME", "/"), ".openmpi/mca-params.conf")]
    for prefix in filter(None, prefixes):
        files += [Path(prefix, "etc", name), Path(prefix, "etc/openmpi", name)]
    for file in files:
        try:
            lines = file.read_text(errors="replace").splitlines()
        except OSError:
            continue
        if any(line.lstrip().startswith(CHOICES) for line in lines):
            return True
    return False


def _address_towards(peer: str) -> str:
    """Return this node's address on the way to a peer, "" where there is none."""
    if not peer:
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, ENDPOINT))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _interface_of(address: str) -> str:
    """Return the name of the interface that has an address; "" for one of this host alone."""
    if not address or address.startswith("127."):
        return ""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            with contextlib.suppress(OSError):  # it has no address
                found = fcntl.ioctl(probe, SIOCGIFADDR, request)
                if socket.inet_ntoa(found[20:24]) == address:
                    return name
    return ""

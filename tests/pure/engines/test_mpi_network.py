"""Network of Open MPI's TCP: the interface that reaches the peers, unless the user or the site has chosen."""

import fcntl
import socket
import struct

import pytest

from hpcml.engines.mpi.network import tcp_variables

FOREIGN = "192.0.2.1"  # RFC 5737; no packet is sent


def default_interface():
    """Return the interface of the default route, as the kernel lists it."""
    with open("/proc/net/route") as routes:
        for line in routes:
            interface, destination, *_ = line.split()
            if destination == "00000000":
                return interface
    pytest.skip("this computer has no route")


def test_the_interface_that_reaches_a_peer_is_used():
    (found,) = tcp_variables([FOREIGN], {"HOME": "/nowhere"}).items()
    assert found == ("OMPI_MCA_btl_tcp_if_include", default_interface())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        assert fcntl.ioctl(probe, 0x8915, struct.pack("256s", found[1].encode()))


def test_a_peer_without_a_name_is_not_needed():
    names = ["no-such-host.invalid", "localhost"]
    assert tcp_variables(names, {"HOME": "/nowhere"}) == {}
    found = tcp_variables(names, {"HOME": "/nowhere", "SLURM_LAUNCH_NODE_IPADDR": FOREIGN})
    assert found == {"OMPI_MCA_btl_tcp_if_include": default_interface()}


@pytest.mark.parametrize("name", ["btl_tcp_if_include", "btl_tcp_if_exclude"])
def test_the_choice_of_the_user_is_kept(tmp_path, name):
    assert tcp_variables([FOREIGN], {"HOME": "/nowhere", f"OMPI_MCA_{name}": "ib0"}) == {}
    (tmp_path / ".openmpi").mkdir()
    (tmp_path / ".openmpi/mca-params.conf").write_text(f"# the fast network\n  {name} = ib0\n")
    assert tcp_variables([FOREIGN], {"HOME": str(tmp_path)}) == {}


def test_the_choice_of_the_site_is_kept(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin/mpirun").touch(mode=0o755)
    (tmp_path / "etc/openmpi-mca-params.conf").write_text("btl_tcp_if_exclude = lo,docker0\n")
    variables = {"HOME": "/nowhere", "PATH": str(tmp_path / "bin")}
    assert tcp_variables([FOREIGN], variables) == {}

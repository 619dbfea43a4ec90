"""Port of rank 0, which no other program gets, and the interface to it."""

import shlex
import socket
import subprocess
import sys

import pytest

from hpcml.training.ranks.network import hold_port, interface_of, interface_variables, local_address


def test_a_held_port_is_for_a_listener_that_reuses_it_and_no_other():
    port = hold_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torch's TCPStore does
        listener.bind(("", port))
        listener.listen()
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()


def test_a_held_port_is_for_listeners_of_grpc_too():
    port = hold_port()
    with socket.socket(socket.AF_INET6) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("::", port))
        listener.listen()


def test_nobody_can_connect_to_a_port_that_is_held():
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", hold_port()))


def test_held_ports_differ():
    """In a process of its own, which holds the ports to its end."""
    code = (
        "from hpcml.training.ranks.network import hold_port\n"
        "print(len({hold_port() for _ in range(500)}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "500\n"


def test_names_of_interfaces_are_those_of_the_kernel():
    known = {name for _, name in socket.if_nameindex()}
    shown = subprocess.run(["hostname", "--all-ip-addresses"], capture_output=True, text=True, check=True).stdout
    for address in shown.split():
        if ":" not in address:
            assert interface_of(address) in known
            assert local_address(address) == address


def test_loopback_is_no_way_to_several_nodes():
    assert interface_variables("127.0.0.1", one_node=False) == {}
    assert set(interface_variables("127.0.0.1", one_node=True).values()) == {"lo", "=lo"}
    assert interface_variables("no.such.host.invalid", one_node=False) == {}


def test_the_own_name_at_loopback_is_no_address_for_others():
    """In a network of loopback alone."""
    code = (
        "from hpcml.training.ranks.network import own_address\n"
        "own_address(['127.0.1.1', 'no.such.host.invalid', ''])"
    )
    words = ["unshare", "--map-root-user", "--net", sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "HpcmlError" in done.stderr
    assert "has no IPv4 address that other nodes could reach" in done.stderr


def test_an_address_is_that_of_the_way_to_a_peer():
    """Each device of its own network has an address; the peer is at the second."""
    lines = ["ip link set lo up"]
    for number in (1, 2):
        lines.append(f"ip link add d{number} type veth peer name p{number}")
        lines += [f"ip link set d{number} up", f"ip link set p{number} up"]
        lines.append(f"ip address add 10.99.{number}.1/24 dev d{number}")
    code = (
        "from hpcml.training.ranks.network import interface_variables, own_address\n"
        "found = own_address(['127.0.1.1', '10.99.2.7'])\n"
        "print(found, interface_variables('10.99.2.7', False)['GLOO_SOCKET_IFNAME'])\n"
    )
    lines.append(f"exec {sys.executable} -c {shlex.quote(code)}")
    words = ["unshare", "--map-root-user", "--net", "sh", "-ec", "\n".join(lines)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "10.99.2.1 d2\n", done.stderr

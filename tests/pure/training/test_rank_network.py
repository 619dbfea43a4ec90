"""Port of rank 0, which no other program gets, and the interface to it."""

import socket
import subprocess

import pytest

from hpcml.errors import HpcmlError
from hpcml.training.network import hold_port, interface_of, interface_variables, local_address, own_address


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
    assert len({hold_port() for _ in range(500)}) == 500


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


def test_the_own_name_at_loopback_is_no_address_for_others(monkeypatch):
    monkeypatch.setattr("hpcml.training.network._interfaces", lambda: [("lo", "127.0.0.1")])
    with pytest.raises(HpcmlError, match=r"no IPv4 address that other nodes could reach"):
        own_address(["127.0.1.1", ""])

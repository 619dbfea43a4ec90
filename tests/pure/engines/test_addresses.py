"""Addresses of a server: offered, tried, and chosen when all hosts reach them."""

import os
import threading

from hypothesis import given
from hypothesis import strategies as st

from hpcml.engines.nodes.addresses import (
    AddressOffer,
    common_addresses,
    offered_addresses,
    reach,
    unreachable,
)


def test_an_offer_is_reached_at_all_its_addresses_until_it_ends():
    with offered_addresses() as offer:
        token = bytes.fromhex(offer["token"])
        assert "127.0.0.1" in dict(offer["addresses"])
        assert set(reach(offer["addresses"], token).values()) == {""}
        assert reach(offer["addresses"][:1], bytes(16), timeouts=(5,)) == {"127.0.0.1": "somebody else answers"}
    assert reach(offer["addresses"][:1], token, timeouts=(0.2,)) == {"127.0.0.1": "Connection refused"}


def test_probes_are_answered_until_a_descriptor_has_something_to_read():
    offer = AddressOffer()
    reader, writer = os.pipe()
    answering = threading.Thread(target=offer.answer_probes, args=(reader,))
    answering.start()
    assert "" in reach(offer.message["addresses"], bytes.fromhex(offer.message["token"])).values()
    os.write(writer, b"!")
    answering.join()
    offer.close()
    os.close(reader)
    os.close(writer)


ADDRESSES = ["127.0.0.1", "10.0.0.1", "10.1.0.1"]
ERRORS = st.dictionaries(st.sampled_from(ADDRESSES), st.sampled_from(["", "timed out"]))


@given(st.dictionaries(st.sampled_from(["this process", "n1", "n2"]), ERRORS))
def test_a_common_address_is_reached_by_all(reached):
    common = common_addresses(reached)
    assert all(seen[address] == "" for address in common for seen in reached.values())
    everywhere = {address for address in ADDRESSES if all(seen.get(address) == "" for seen in reached.values())}
    assert set(common) == (everywhere if reached else set())


def test_the_message_names_server_hosts_and_addresses():
    reached = {"n1": {"127.0.0.1": "Connection refused", "10.0.0.1": ""}, "n2": {"10.0.0.1": "timed out"}}
    lines = unreachable("no address of this host can be reached", reached, "no IPv6 here").split("\n")
    assert lines[:3] == [
        "no address of this host can be reached:",
        "    n1: 127.0.0.1 Connection refused, 10.0.0.1 reached",
        "    n2: 10.0.0.1 timed out",
    ]
    assert lines[3].startswith("A firewall between the nodes")
    assert "IPv6" not in lines[3]

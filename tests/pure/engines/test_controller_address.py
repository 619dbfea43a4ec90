"""Choice of the controller's address: when it is made, which address it is, and which nodes are left out."""

import queue

import pytest
from driver_side import Recorded, job_plan

from hpcml.engines.ipyparallel.controller_address import Address
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.errors import EngineError

OFFER = {"addresses": [("127.0.0.1", 1), ("10.0.0.1", 2), ("10.1.0.1", 3)], "token": "00"}
HERE = {"127.0.0.1": "", "10.0.0.1": "", "10.1.0.1": ""}
OTHER = {"127.0.0.1": "somebody else answers", "10.0.0.1": "", "10.1.0.1": ""}
BEHIND_A_FIREWALL = {"127.0.0.1": "somebody else answers", "10.0.0.1": "timed out", "10.1.0.1": "timed out"}


@pytest.fixture
def offered(tmp_path, monkeypatch):
    """Make the choice of a run whose controller has offered its addresses."""
    monkeypatch.setattr("hpcml.engines.ipyparallel.fleet.Program", Recorded)
    monkeypatch.setattr("hpcml.engines.ipyparallel.controller_address.reach", lambda *_: dict(HERE))

    def make(**options):
        plan = job_plan(tmp_path, **options)
        fleet = Fleet(plan, queue.SimpleQueue())
        fleet.start()
        address = Address(plan, fleet)
        address.take(OFFER)
        return address, fleet

    return make


def report(address, **reached):
    for node, errors in reached.items():
        address.take({"node": node, "reached": errors})


def test_the_first_address_that_all_reach_is_chosen_when_all_have_reported(offered):
    address, fleet = offered()
    assert fleet.launchers[0][1].sent == [{"probe": OFFER}]
    report(address, n1=HERE, n2=OTHER)
    address.choose(force=False)
    assert address.chosen == ""
    report(address, n3={**OTHER, "10.0.0.1": "timed out"})
    address.choose(force=False)
    assert address.chosen == "10.1.0.1"
    assert fleet.controller.sent == [{"bind": "10.1.0.1"}]
    address.choose(force=False)
    assert len(fleet.controller.sent) == 1


def test_with_force_some_reports_are_enough(offered):
    address, _ = offered()
    address.choose(force=True)
    assert address.chosen == "", "no node has reported"
    report(address, n2=OTHER)
    address.choose(force=True)
    assert address.chosen == "10.0.0.1"


def test_a_controller_that_is_started_again_gets_the_same_address(offered):
    address, fleet = offered()
    report(address, n1=HERE, n2=OTHER, n3=OTHER)
    address.choose(force=False)
    fleet.controller.sent.clear()
    address.take(OFFER)
    assert fleet.controller.sent == [{"bind": "10.0.0.1"}]


def test_a_controller_on_another_node_is_reached_without_the_lost_one(offered):
    address, fleet = offered()
    report(address, n1=HERE, n2=OTHER, n3=OTHER)
    address.choose(force=False)
    address.reset("n1")
    assert address.chosen == ""
    address.take(OFFER)
    report(address, n2=OTHER, n3=OTHER)
    address.choose(force=False)
    assert fleet.controller.sent[-1] == {"bind": "10.0.0.1"}


def test_nodes_that_reach_no_address_are_an_error_with_what_to_type(offered):
    address, _ = offered()
    report(address, n1=HERE, n2=OTHER, n3=BEHIND_A_FIREWALL)
    with pytest.raises(EngineError) as caught:
        address.choose(force=False)
    assert "n3: 127.0.0.1 somebody else answers, 10.0.0.1 timed out, 10.1.0.1 timed out" in str(caught.value)
    assert str(caught.value).endswith("To go on with the nodes that reach one: Cluster(min_slots=4).")


def test_min_slots_leaves_out_nodes_that_reach_no_address(offered, caplog):
    address, fleet = offered(min_slots=3)
    report(address, n1=HERE, n2=OTHER, n3=BEHIND_A_FIREWALL)
    address.choose(force=False)
    assert address.chosen == "10.0.0.1"
    assert [[node.name for node in nodes] for nodes, _ in fleet.launchers] == [["n1", "n2"]]
    assert "no address of the controller can be reached from everywhere" in caplog.text


def test_min_slots_that_no_address_serves_is_an_error(offered):
    address, _ = offered(min_slots=5)
    report(address, n1=HERE, n2=OTHER, n3=BEHIND_A_FIREWALL)
    with pytest.raises(EngineError, match=r"Cluster\(min_slots=4\)"):
        address.choose(force=False)

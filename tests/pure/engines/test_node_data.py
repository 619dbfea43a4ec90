"""Directories of the nodes: their free bytes, lost nodes, and the steps by which data is sent."""

import threading

import pytest
from driver_side import job_plan

from hpcml.engines.nodes import node_data
from hpcml.engines.nodes.node_data import NodeData
from hpcml.errors import DataError

SHARED_MEMORY = {"/dev/shm/a": 100}


class Nodes:
    """Nodes that answer the driver at once, except for those that are `silent`."""

    def __init__(self, plan):
        self.silent = set()
        self.idle_steps = []
        self.orders = []
        self.data = NodeData(plan, self.answer, self.start_idle_steps)
        for name in ("n1", "n2", "n3"):
            self.data.add_node(name, {"directories": ["/dev/shm/a", f"/tmp/{name}", "/tmp/b"], "step": "7.0"})

    def answer(self, order):
        self.orders.append(order)
        for name in {"n1", "n2", "n3"} - self.silent if "room" in order else ():
            self.data.take({"node": name, "room": SHARED_MEMORY, "asked": order["room"]})

    def start_idle_steps(self, names):
        self.idle_steps.append(set(names))
        for name in names - self.silent:
            self.data.take({"node": name, "holds": "7.5"})


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    monkeypatch.setattr(node_data, "ANSWER_TIMEOUT_SECONDS", 0.2)
    monkeypatch.setattr(node_data, "LOST_NODE_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(node_data, "STEP_TIMEOUT_SECONDS", 0.2)
    return Nodes(job_plan(tmp_path, timeout=60))


def test_directories_are_those_that_every_node_has(nodes):
    assert nodes.data.directories == ("/dev/shm/a", "/tmp/b")


def test_all_nodes_that_answer_are_reached_by_their_own_step(nodes):
    assert nodes.data.free_bytes() == dict.fromkeys(("n1", "n2", "n3"), SHARED_MEMORY)
    assert nodes.data.steps() == ("7.0",)
    assert nodes.idle_steps == []


def test_a_lost_node_is_left_out_by_an_idle_step_which_serves_again(nodes):
    nodes.silent = {"n2"}
    assert set(nodes.data.free_bytes()) == {"n1", "n3"}
    assert nodes.data.steps() == ("7.5",)
    assert nodes.data.steps() == ("7.5",)
    assert nodes.idle_steps == [{"n1", "n3"}]


def test_a_lost_node_that_answers_again_is_sent_to_again(nodes):
    nodes.silent = {"n2"}
    nodes.data.free_bytes()
    nodes.silent = set()
    assert set(nodes.data.free_bytes()) == {"n1", "n2", "n3"}
    assert nodes.data.steps() == ("7.0",)


def test_late_answers_to_an_earlier_question_do_not_count(nodes):
    nodes.data.free_bytes()
    nodes.silent = {"n2"}
    nodes.data.take({"node": "n2", "room": SHARED_MEMORY, "asked": nodes.orders[0]["room"]})
    assert set(nodes.data.free_bytes()) == {"n1", "n3"}


def test_an_idle_step_that_does_not_start_is_an_error_with_its_log(nodes, tmp_path):
    nodes.silent = {"n2"}
    nodes.data.free_bytes()
    nodes.silent = {"n2", "n3"}
    with pytest.raises(DataError, match=rf"after the loss of n2; the log is {tmp_path}/data.log"):
        nodes.data.steps()


def test_data_waits_for_launchers_that_are_started_again(nodes):
    nodes.data.remove_nodes({"n2", "n3"}, awaited={"n2"})
    found = []
    asking = threading.Thread(target=lambda: found.append(nodes.data.free_bytes()))
    asking.start()
    assert nodes.orders == []
    nodes.data.add_node("n2", {"directories": ["/dev/shm/a"], "step": "7.1"})
    asking.join()
    assert {"n1", "n2"} <= set(found[0])
    assert nodes.data.directories == ("/dev/shm/a",)
    assert nodes.data.steps() == ("7.0", "7.1")

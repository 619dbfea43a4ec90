"""Programs of a run: the steps that are started, the orders that they get, and those that are started again."""

import queue

import pytest
from driver_side import NODES, Recorded, job_plan

from hpcml.engines.ipyparallel.fleet import GENERATIONS_PER_START, Fleet


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    monkeypatch.setattr("hpcml.engines.ipyparallel.fleet.Program", Recorded)
    fleet = Fleet(job_plan(tmp_path), queue.SimpleQueue())
    fleet.start()
    return fleet


def test_one_controller_on_the_drivers_node_and_one_step_of_launchers(fleet):
    assert fleet.controller_node == "n1"
    assert "--nodelist=n1 " in fleet.controller.command
    ((nodes, launcher),) = fleet.launchers
    assert nodes == fleet.nodes_of(launcher) == NODES
    assert "hpcml.engines.ipyparallel.launcher" in launcher.command
    assert fleet.nodes_of(fleet.controller) == ()


def test_a_step_that_is_started_later_gets_the_orders_that_are_remembered(fleet):
    fleet.send_and_remember({"start": {"stride": 6}})
    fleet.send_and_remember({"engine": {"key": "k"}})
    fleet.send({"kill": 3})
    (_, first) = fleet.launchers[0]
    assert first.sent == [{"start": {"stride": 6}}, {"engine": {"key": "k"}}, {"kill": 3}]
    fleet.drop(first)
    fleet.start_again(NODES[:2])
    ((nodes, second),) = fleet.launchers
    assert nodes == NODES[:2]
    generation = GENERATIONS_PER_START
    assert second.sent == [{"start": {"stride": 6, "generation": generation}}, {"engine": {"key": "k"}}]
    assert second.log != first.log


def test_steps_are_started_without_silent_nodes_once(fleet, caplog):
    (_, first) = fleet.launchers[0]
    fleet.restart_without({"n3"})
    fleet.restart_without({"n2"})
    assert first.is_terminated
    assert [nodes for nodes, _ in fleet.launchers] == [NODES[:2]]
    assert caplog.messages == ["starting without n3"]


@pytest.mark.parametrize("silent", [set(), {"n1", "n2", "n3"}])
def test_a_step_of_which_all_or_no_nodes_answer_stays(fleet, silent):
    before = fleet.launchers
    fleet.restart_without(silent)
    assert fleet.launchers == before
    assert not before[0][1].is_terminated


def test_nodes_that_did_not_begin_together_get_a_step_each(fleet):
    fleet.drop(fleet.launchers[0][1])
    fleet.start_again(NODES, one_step_each=True)
    assert [nodes for nodes, _ in fleet.launchers] == [(node,) for node in NODES]


def test_another_controller_runs_on_a_node_that_is_not_lost(fleet):
    first = fleet.controller
    fleet.restart_controller({"n1"})
    assert fleet.controller is not first
    assert fleet.controller_node == "n2"
    assert "--nodelist=n2 " in fleet.controller.command


def test_workers_are_out_of_reach_without_controller_or_launchers(fleet):
    assert not fleet.is_unreachable()
    fleet.ended.append(fleet.launchers[0][1])
    assert fleet.no_launcher_left()
    assert fleet.is_unreachable()
    fleet.ended[:] = [fleet.controller]
    assert not fleet.no_launcher_left()
    assert fleet.is_unreachable()

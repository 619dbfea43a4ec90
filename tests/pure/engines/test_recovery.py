"""Recovery: the programs that are started again, on which nodes, how often, and when a run is given up."""

import queue
from types import SimpleNamespace

import pytest
from driver_side import NODES, Recorded, Workers, job_plan

from hpcml.engines.ipyparallel import recovery as recovering
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.recovery import CONTROLLER_RESTARTS, STEP_RESTARTS, Recovery


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of three nodes whose workers are there, with a clock that the test sets."""
    monkeypatch.setattr("hpcml.engines.ipyparallel.fleet.Program", Recorded)
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(recovering, "time", SimpleNamespace(monotonic=lambda: clock.now))
    plan = job_plan(tmp_path)
    fleet = Fleet(plan, queue.SimpleQueue())
    fleet.start()
    forgotten = []
    address = SimpleNamespace(reset=forgotten.append)
    liveness = SimpleNamespace(end=lambda: None)
    data = SimpleNamespace(remove_nodes=lambda nodes, awaited: None)
    recovery = Recovery(plan, fleet, address, liveness, data)
    workers = Workers("n1", "n2", "n3")

    def end(program, status=1):
        program.status = status
        fleet.ended.append(program)
        recovery.replace_lost(workers, program, False)

    return SimpleNamespace(
        fleet=fleet, recovery=recovery, workers=workers, clock=clock, end=end, forgotten=forgotten
    )


def step_nodes(fleet):
    return [tuple(node.name for node in nodes) for nodes, _ in fleet.launchers]


def test_a_step_that_ends_is_started_again_on_the_nodes_that_had_workers(run, caplog):
    run.workers.hosts_with_engines.remove("n3")
    run.end(run.fleet.launchers[0][1], status=7)
    assert run.workers.lost == [({"n1", "n2", "n3"}, "the workers' step ended with status 7")]
    assert step_nodes(run.fleet) == [("n1", "n2")]
    assert caplog.messages == ["the workers' step ended with status 7: starting another on n[1-2]"]
    assert run.workers.failures == []


def test_a_step_is_started_again_a_few_times_only(run):
    for _ in range(STEP_RESTARTS):
        run.end(run.fleet.launchers[0][1])
        run.workers.hosts_with_engines = {"n1", "n2", "n3"}
        for name in run.workers.hosts_with_engines:
            run.recovery.note_message(name)
    last = run.fleet.launchers[0][1]
    run.end(last)
    assert run.fleet.launchers == []
    assert run.workers.failures == [
        f"the {last.name} step ended with status 1; its log, {last.log}, ends with\n    the end of a log"
    ]


def test_a_step_whose_nodes_have_not_all_begun_is_started_in_one_step_each(run):
    run.end(run.fleet.launchers[0][1])
    run.end(run.fleet.launchers[0][1])  # before any launcher of the second step has sent a message
    assert step_nodes(run.fleet) == [("n1",), ("n2",), ("n3",)]


def test_a_node_that_does_not_come_back_costs_its_step_and_the_others_return(run):
    run.end(run.fleet.launchers[0][1])
    run.recovery.note_message("n1")
    run.recovery.note_message("n2")
    second = run.fleet.launchers[0][1]
    run.clock.now += recovering.RESTART_SECONDS + 1
    run.recovery.replace_lost(run.workers, None, False)
    assert second.is_terminated
    run.end(second)
    assert step_nodes(run.fleet) == [("n1", "n2")]


def test_another_controller_takes_the_place_of_one_that_ended(run, caplog):
    first = run.fleet.controller
    run.end(first, status=9)
    assert run.fleet.controller is not first
    assert run.fleet.controller_node == "n1"
    assert run.fleet.launchers[0][1].sent == [{"engine": None}]
    assert run.workers.reasons == ["the controller of the workers is gone"]
    assert run.forgotten == []
    assert caplog.messages == ["the controller ended with status 9: starting another"]
    assert run.workers.failures == []


def test_a_controller_that_is_silent_is_replaced_on_another_node(run, caplog):
    first = run.fleet.controller
    run.recovery.replace_lost(run.workers, None, True)
    assert first.is_terminated
    assert run.fleet.controller_node == "n2"
    assert run.forgotten == ["n1"]
    assert caplog.messages == ["the controller on n1 no longer answers: starting another elsewhere"]


def test_the_run_is_given_up_when_controllers_end_again_and_again(run):
    for _ in range(CONTROLLER_RESTARTS):
        run.end(run.fleet.controller)
        run.workers.hosts_with_engines = {"n1", "n2", "n3"}
    assert run.workers.failures == []
    last = run.fleet.controller
    run.end(last)
    assert run.fleet.controller is last
    assert len(run.workers.failures) == 1
    assert run.workers.failures[0].startswith("the controller step ended with status 1; its log, ")


def test_the_run_is_given_up_when_no_worker_comes_back_in_time(run):
    run.end(run.fleet.controller)
    run.clock.now += 59
    run.recovery.replace_lost(run.workers, None, False)
    assert run.workers.failures == []
    run.clock.now += 2
    run.recovery.replace_lost(run.workers, None, False)
    assert len(run.workers.failures) == 1
    assert run.workers.failures[0].startswith("no worker has come back; the logs are in ")


def test_workers_that_are_back_end_the_wait(run):
    run.end(run.fleet.controller)
    run.workers.hosts_with_engines = {"n1"}
    run.recovery.replace_lost(run.workers, None, False)
    run.clock.now += 1000
    run.workers.hosts_with_engines = set()
    run.recovery.replace_lost(run.workers, None, False)
    assert run.workers.failures == []


def test_the_run_is_given_up_when_all_slots_are(run):
    run.workers.hosts_with_engines = set()
    run.recovery.given_up = 6
    run.recovery.replace_lost(run.workers, None, False)
    assert len(run.workers.failures) == 1
    assert run.workers.failures[0].startswith("every worker has ended again and again; the logs are in ")
    assert len(NODES) == 3

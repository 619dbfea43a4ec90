"""World of MPI that the engines are: its first order, what has another begun, on which nodes, and when none is."""

import queue
from types import SimpleNamespace

import pytest
from driver_side import Recorded, job_plan

from hpcml.engines.ipyparallel import world as worlds
from hpcml.engines.ipyparallel.fleet import Fleet
from hpcml.engines.ipyparallel.world import ANSWER_SECONDS, FAILED_STARTS, World


class Workers(SimpleNamespace):
    """Workers as `World` sees them: all ranks are there, unless a test says otherwise."""

    def __init__(self):
        super().__init__(ready=6, replaced=[], failures=[])

    def replace_all(self, engines, reason):
        self.replaced.append((engines, reason))

    def fail(self, reason):
        self.failures.append(reason)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A world of three nodes with two slots each that has just begun, with a clock that the test sets."""
    monkeypatch.setattr("hpcml.engines.ipyparallel.fleet.Program", Recorded)
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(worlds, "time", SimpleNamespace(monotonic=lambda: clock.now))
    explained = []
    step = SimpleNamespace(
        environment={},
        command=lambda nodes, meeting: ["holders", *(node.name for node in nodes)],
        explain=lambda text: explained[0] if explained else "",
    )
    monkeypatch.setattr(worlds, "RankStep", lambda plan: step)
    plan = job_plan(tmp_path, mpi=True)
    fleet = Fleet(plan, queue.SimpleQueue())
    fleet.start()
    world = World(plan, fleet)
    world.prepare()
    workers = Workers()
    world.begin(workers)
    holders = [program for program in fleet._programs if program.name.startswith("ranks")]
    return SimpleNamespace(
        fleet=fleet, world=world, workers=workers, clock=clock, explained=explained, holders=holders
    )


def orders(run):
    """Return the numbers of worlds and ranks that the launchers were ordered to begin."""
    sent = [message["world"] for message in run.fleet.launchers[0][1].sent if "world" in message]
    return [(order["number"], order["size"]) for order in sent]


def answer(run, *names):
    for name in names:
        run.world.note_answer(name)


def test_ids_of_the_first_engines_are_their_ranks(run):
    (engines, _) = run.workers.replaced[0]
    assert engines == {"n1": {0: 0, 1: 1}, "n2": {2: 0, 3: 1}, "n3": {4: 0, 5: 1}}
    assert orders(run) == [(0, 6)]
    assert run.holders[0].command == "holders n1 n2 n3"


def test_an_engine_that_ends_has_all_replaced_once(run, caplog):
    run.world.end("n2:0 ended: signal SIGKILL", 2)
    run.world.look(run.workers)
    run.world.end("n3:1 ended: exit code 195", 5)  # of the world that has been replaced
    run.world.look(run.workers)
    engines, reason = run.workers.replaced[-1]
    assert engines == {"n1": {6: 0, 7: 1}, "n2": {8: 0, 9: 1}, "n3": {10: 0, 11: 1}}
    assert reason == "n2:0 ended: signal SIGKILL"
    assert orders(run) == [(0, 6), (1, 6)]
    assert run.holders[0].is_terminated
    assert len(caplog.messages) == 1


def test_a_launcher_that_does_not_answer_the_second_order_is_left_out(run):
    run.world.end("n3:0 no longer answers", 4)
    run.workers.ready = 0
    run.world.look(run.workers)
    answer(run, "n1", "n2")
    run.clock.now += ANSWER_SECONDS / 2
    run.world.look(run.workers)
    assert orders(run) == [(0, 6), (1, 6)]
    run.clock.now += ANSWER_SECONDS
    run.world.look(run.workers)
    assert orders(run) == [(0, 6), (1, 6), (2, 4)]
    assert set(run.workers.replaced[-1][0]) == {"n1", "n2"}


def test_a_node_that_answers_again_is_in_the_next_world(run):
    test_a_launcher_that_does_not_answer_the_second_order_is_left_out(run)
    answer(run, "n1", "n2", "n3")
    run.world.end("n1:0 ended: exit code 1", 12)
    run.world.look(run.workers)
    assert orders(run)[-1] == (3, 6)


def test_launchers_that_are_started_again_are_waited_for(run):
    run.world.remove_nodes({"n1", "n2", "n3"}, "the workers' step ended with status 1")
    run.world.look(run.workers)
    run.world.add_node("n1")
    run.world.add_node("n2")
    run.world.look(run.workers)
    assert orders(run) == [(0, 6)]
    run.world.add_node("n3")
    run.world.look(run.workers)
    assert orders(run) == [(0, 6), (1, 6)]


def test_the_end_of_the_holders_is_that_of_the_world(run):
    run.holders[0].status = 1
    run.world.note_end(run.holders[0])
    run.world.look(run.workers)
    assert run.workers.replaced[-1][1] == "the step of the ranks ended with status 1"
    run.world.note_end(run.holders[0])  # of a former world
    run.world.look(run.workers)
    assert orders(run) == [(0, 6), (1, 6)]


def test_worlds_that_never_are_complete_are_given_up(run):
    run.workers.ready = 0
    for number in range(FAILED_STARTS):
        run.world.end("n1:0 ended: exit code 15", 6 * number)
        run.world.look(run.workers)
    assert len(run.workers.failures) == 1
    assert "the ranks of MPI have ended again and again: n1:0 ended: exit code 15" in run.world.failure
    assert len(orders(run)) == FAILED_STARTS


def test_a_start_that_can_be_explained_is_not_repeated(run):
    run.workers.ready = 0
    run.explained.append("Open MPI does not work by srun --mpi=pmi2")
    run.world.end("n1:0 ended: exit code 1", 0)
    run.world.look(run.workers)
    assert run.world.failure.startswith("Open MPI does not work by srun --mpi=pmi2; ")
    assert run.world.failure.endswith("    the end of a log")
    assert orders(run) == [(0, 6)]


def test_worlds_that_are_ended_by_calls_are_no_failures(run):
    for number in range(4 * FAILED_STARTS):
        run.world.end("TimeoutError has ended a call of comm_map", 6 * number, by_order=True)
        run.world.look(run.workers)
    assert run.world.failure == ""
    assert len(orders(run)) == 4 * FAILED_STARTS + 1


def test_ranks_that_do_not_come_in_time_are_started_again(run):
    run.workers.ready = 5
    run.clock.now += 61
    run.world.look(run.workers)
    assert run.workers.replaced[-1][1] == "5 of 6 ranks were there after 60 s"

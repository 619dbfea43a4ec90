"""State of one engine: registered, lost, ended; and the choice of an engine for a frame."""

from concurrent.futures import Future

from hpcml.engines.ipyparallel.engine_state import EngineState, preference
from hpcml.engines.worker import Worker


def engine(number=0, host="n1", **fields):
    return EngineState(number, Worker(host, number), registered=True, **fields)


def test_a_registered_engine_lives_until_it_is_lost():
    state = engine()
    assert state.is_living
    state.lose("no news", now=5.0)
    assert not state.is_living
    assert (state.death, state.silent_since) == ("no news", 5.0)


def test_the_launchers_reason_replaces_that_of_the_hub():
    state = engine()
    state.lose("no news", now=5.0)
    state.end("signal SIGKILL")
    assert (state.death, state.silent_since, state.ended) == ("signal SIGKILL", 0.0, True)
    state.lose("no news", now=6.0)
    assert (state.death, state.silent_since) == ("signal SIGKILL", 0.0)


def test_a_failed_request_makes_only_a_living_engine_silent():
    living, dead = engine(), engine()
    living.fail_request("unreadable", is_alive=True, now=3.0)
    dead.fail_request("gone", is_alive=False, now=3.0)
    assert (living.silent_since, dead.silent_since) == (3.0, 0.0)
    assert (living.death, dead.death) == ("unreadable", "gone")


def test_one_frame_at_most_was_running():
    first, second = Future(), Future()
    state = engine(outstanding=[first, second])
    assert not state.fail_first(second)
    assert state.fail_first(first)
    state.outstanding.remove(first)
    assert not state.fail_first(second)


def test_the_least_busy_engine_on_another_node_is_preferred():
    busy, near, far, late = (
        engine(0, "n2", outstanding=[Future()]),
        engine(1, "n1"),
        engine(2, "n2"),
        engine(3, "n2", last_sent=9.0),
    )
    ranked = sorted([busy, late, near, far], key=lambda one: preference(one, {"n1"}))
    assert [one.number for one in ranked] == [2, 3, 1, 0]

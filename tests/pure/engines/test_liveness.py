"""Liveness: a controller is lost when a launcher answers several questions and the controller none."""

from types import SimpleNamespace

import pytest

from hpcml.engines.ipyparallel.liveness import UNANSWERED_QUESTIONS, Liveness


@pytest.fixture
def asked():
    """A liveness, with the questions to the controller and to the launchers."""
    to_controller, to_launchers = [], []
    fleet = SimpleNamespace(controller=SimpleNamespace(send=to_controller.append), send=to_launchers.append)
    return SimpleNamespace(liveness=Liveness(fleet), controller=to_controller, launchers=to_launchers)


def test_nothing_is_asked_before_the_controller_serves_nor_after(asked):
    assert not asked.liveness.is_lost()
    asked.liveness.begin()
    asked.liveness.end()
    assert not asked.liveness.is_lost()
    assert (asked.controller, asked.launchers) == ([], [])


def test_a_controller_that_answers_is_not_lost(asked):
    asked.liveness.begin()
    for _ in range(3 * UNANSWERED_QUESTIONS):
        assert not asked.liveness.is_lost()
        asked.liveness.note_answer("n1")
        asked.liveness.note_answer("")
    assert len(asked.controller) == 3 * UNANSWERED_QUESTIONS
    assert asked.launchers == []


def test_a_controller_is_lost_when_only_launchers_answer(asked):
    asked.liveness.begin()
    for _ in range(UNANSWERED_QUESTIONS):
        assert not asked.liveness.is_lost()
    assert asked.launchers == [{"alive": True}]
    asked.liveness.note_answer("n2")
    assert asked.liveness.is_lost()


def test_when_all_are_silent_the_controller_is_not_lost(asked):
    asked.liveness.begin()
    assert not any(asked.liveness.is_lost() for _ in range(5 * UNANSWERED_QUESTIONS))


def test_another_controller_is_asked_anew(asked):
    asked.liveness.begin()
    for _ in range(UNANSWERED_QUESTIONS):
        asked.liveness.is_lost()
    asked.liveness.end()
    asked.liveness.begin()
    asked.liveness.note_answer("n2")
    assert not asked.liveness.is_lost()

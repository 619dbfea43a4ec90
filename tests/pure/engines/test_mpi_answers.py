"""Answers of the nodes of engine mpi: lost is a node of which neither relay nor launcher answers, and no other."""

import pytest

from hpcml.engines.mpi.answers import RELAY_QUESTIONS, STUCK_QUESTIONS, Answers

NODES = ("n1", "n2", "n3")


@pytest.fixture
def answers():
    answers = Answers()
    for node in NODES:
        answers.note_relay(node)
    return answers


def ask(answers, times, relays=(), launchers=()):
    """Ask several times; some relays and, where they are asked, launchers answer. Return when these were asked."""
    asked = []
    for number in range(times):
        if answers.ask():
            asked.append(number)
            for node in launchers:
                answers.note_launcher(node)
        for node in relays:
            answers.note_relay(node)
    return asked


def test_launchers_are_not_asked_while_all_relays_answer(answers):
    assert ask(answers, 20, relays=NODES) == []
    assert (answers.lost(), answers.stuck()) == (set(), set())


def test_a_node_is_lost_when_its_relay_and_launcher_are_silent(answers):
    asked = ask(answers, RELAY_QUESTIONS - 1, ("n1", "n2"), ("n1", "n2"))
    assert answers.lost() == set()
    asked += ask(answers, 1, ("n1", "n2"), ("n1", "n2"))
    assert answers.lost() == {"n3"}
    assert asked


def test_without_the_relay_that_has_the_link_the_launchers_show_which_node_is_lost(answers):
    ask(answers, RELAY_QUESTIONS, (), ("n2", "n3"))
    assert answers.lost() == {"n1"}


def test_a_relay_whose_launcher_answers_is_not_lost_but_may_be_stuck(answers):
    ask(answers, STUCK_QUESTIONS - 1, ("n1", "n2"), NODES)
    assert (answers.lost(), answers.stuck()) == (set(), set())
    ask(answers, 1, ("n1", "n2"), NODES)
    assert (answers.lost(), answers.stuck()) == (set(), {"n3"})


def test_no_node_is_lost_while_all_are_silent_and_when_they_come_back_one_by_one(answers):
    ask(answers, 10 * STUCK_QUESTIONS)
    assert (answers.lost(), answers.stuck()) == (set(), set())
    answers.note_relay("n2")
    assert answers.lost() == set()
    ask(answers, RELAY_QUESTIONS, ("n2", "n3"), ("n2", "n3"))
    assert answers.lost() == {"n1"}


def test_nodes_whose_step_has_ended_are_forgotten_until_they_answer_again(answers):
    answers.forget(["n1", "n3"])
    assert answers.has_all(["n2"])
    assert not answers.has_all(NODES)
    ask(answers, 20, ("n2",), ("n2",))
    assert answers.lost() == set()
    answers.note_relay("n1")
    assert answers.has_all(["n1", "n2"])

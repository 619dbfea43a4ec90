"""An object in the function and in the arguments of a call is one object on the worker."""

import functools

import isolated
from joblib import Parallel, delayed


def test_an_element_of_the_function_is_found_by_identity(cluster):
    population = [isolated.Player(strength) for strength in (1, 10, 100)]

    def score(me, others):
        return sum(other.strength for other in others if other is not me)

    function = functools.partial(score, others=population)
    expected = list(map(function, population))
    assert expected == [110, 101, 11]
    assert list(cluster.map(function, population)) == expected
    assert list(cluster.map(function, population * 300)) == expected * 300
    assert [cluster.submit(function, one).result() for one in population] == expected
    assert Parallel(n_jobs=-1, backend="hpcml")(delayed(function)(one) for one in population * 50) == expected * 50


def test_an_element_of_the_object_of_a_method_is_found_by_identity(cluster):
    graph = isolated.Graph()
    expected = [(1, 0), (10, 1), (100, 2)]
    assert list(cluster.map(graph.of, graph.nodes)) == expected
    assert list(cluster.map(graph.of, graph.nodes * 200)) == expected * 200


def test_a_sentinel_and_a_shared_list_are_the_functions_own(cluster):
    missing, rows = object(), [[1], [2]]

    def give(value):
        return "nothing" if value is missing else value

    def same(row, number):
        rows[0].append(number)
        return len(row)

    assert list(cluster.map(give, [missing, 1] * 300)) == ["nothing", 1] * 300
    assert set(cluster.map(same, [rows[0]] * 600, range(600))) == {2}


def test_an_element_that_calls_change_is_as_sent_in_each(cluster):
    population = [isolated.Player(1), isolated.Player(10)]

    def weaken(me):
        me.strength -= 1
        return [player.strength for player in population]

    assert list(cluster.map(weaken, population * 300)) == [[0, 10], [1, 9]] * 300

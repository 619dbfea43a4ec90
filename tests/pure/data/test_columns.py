"""Columns of individuals: each arrives as its own pickle would have arrived, or the column is refused."""

import copy
import functools
import operator
import pickle
import random

import numpy as np
import pytest
from deap import base, creator, gp, tools
from hypothesis import given
from hypothesis import strategies as st

from hpcml.data.arguments import Alike, encode_alike
from hpcml.data.column_encoding import SeenObjects, encode_column
from hpcml.data.deap import build_individual, reduce_individual
from hpcml.data.out_of_band import dumps_result

NAMES = ("ColumnFitness", "ColumnList", "ColumnVector", "ColumnSet", "ColumnParticle", "ColumnTree")


@pytest.fixture(autouse=True, scope="module")
def classes():
    creator.create("ColumnFitness", base.Fitness, weights=(-1.0, 1.0))
    creator.create("ColumnList", list, fitness=creator.ColumnFitness)
    creator.create("ColumnVector", np.ndarray, fitness=creator.ColumnFitness)
    creator.create("ColumnSet", set, fitness=creator.ColumnFitness)
    creator.create("ColumnTree", gp.PrimitiveTree, fitness=creator.ColumnFitness)
    creator.create("ColumnParticle", list, fitness=creator.ColumnFitness, speed=list, smin=None, best=None)
    yield
    for name in NAMES:
        if hasattr(creator, name):
            delattr(creator, name)


def returned(values):
    """Return the values that a worker unpacks; None where they cannot be a column."""
    column = encode_column(values, SeenObjects({}, dumps_result))
    return None if column is None else list(pickle.loads(pickle.dumps(column)).values())


def shape(thing):
    """Return type, content and attributes of an individual, or of a part of one."""
    if isinstance(thing, np.ndarray):
        return type(thing), thing.dtype, thing.shape, thing.tobytes(), shape(getattr(thing, "__dict__", {}))
    if isinstance(thing, dict):
        return {key: shape(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple | set):
        return type(thing), [shape(one) for one in thing], shape(getattr(thing, "__dict__", {}))
    if isinstance(thing, base.Fitness):
        return type(thing), thing.wvalues
    return type(thing), repr(thing)


NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.booleans(),
    st.integers(-100, 100).map(np.int32),
    st.floats().map(np.float64),
    st.floats(width=32).map(np.float32),
    st.booleans().map(np.bool_),
    st.sampled_from([np.datetime64("2026-01-01"), np.timedelta64(3, "s"), np.complex128(1j), None, "a", b"b"]),
)
VALUES = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(st.floats(), min_size=1, max_size=3).map(np.array),
    ),
    max_leaves=8,
)


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_values_arrive_equal_or_are_refused(values):
    values = copy.deepcopy(values)
    found = returned(values)
    if found is not None:
        assert [shape(one) for one in found] == [shape(one) for one in values]


@given(st.lists(st.lists(st.floats(), max_size=5), min_size=1, max_size=6))
def test_lists_of_floats_are_columns(values):
    assert [shape(one) for one in returned(values)] == [shape(one) for one in values]


@given(st.integers(0, 5), st.integers(0, 5), st.lists(st.lists(st.integers(0, 9)), min_size=5, max_size=5))
def test_a_part_holds_the_values_from_first_to_last(first, last, values):
    first, last = sorted((first, last))
    column = encode_column(values, SeenObjects())
    assert list(column.part(first, last).values()) == values[first:last]


def individuals(kind):
    rows = np.random.default_rng(1).normal(size=(7, 5))
    if kind == "lists of numpy's":
        return [creator.ColumnList(row) for row in rows]
    if kind == "lists of lists":
        return [creator.ColumnList([list(row), [1.0, 2.0]]) for row in rows.tolist()]
    if kind == "arrays":
        return [creator.ColumnVector(row) for row in rows]
    if kind == "sets":
        return [creator.ColumnSet(range(n, n + 4)) for n in range(7)]
    particles = [creator.ColumnParticle(row) for row in rows.tolist()]
    for number, particle in enumerate(particles):
        particle.speed = [number * 1.0] * 5
        particle.smin = -3.0
        particle.best = creator.ColumnParticle(particle)
        particle.best.fitness.values = (1.0, number)
    return particles


KINDS = ("lists of numpy's", "lists of lists", "arrays", "sets", "particles")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("evaluated", [False, True])
def test_individuals_arrive_as_their_pickles_would(kind, evaluated):
    people = individuals(kind)
    for number, one in enumerate(people):
        if evaluated:
            one.fitness.values = (number, -number)
    expected = []
    for one in people:
        _, (made, genome, state) = reduce_individual(one)
        expected.append(build_individual(made, pickle.loads(pickle.dumps(genome)), copy.deepcopy(state)))
    found = returned(people)
    assert [shape(one) for one in found] == [shape(one) for one in expected]
    assert {type(one) for one in found} == {type(people[0])}
    found[0].fitness.values = (5, 5)
    assert found[1].fitness.values == expected[1].fitness.values


def test_individuals_within_individuals_are_a_column_whatever_memory_is_reused():
    for held in range(100):
        holes = [[] for _ in range(held)]
        people = individuals("particles")
        assert returned(people) is not None, held
        del holes


def test_individuals_that_share_a_part_are_refused():
    shared = [1.0, 2.0]
    assert encode_column([shared, shared], SeenObjects()) is None
    assert encode_column([[shared], [[1.0]], [shared]], SeenObjects()) is None
    people = individuals("particles")
    people[3].best = people[2].best
    assert encode_column(people, SeenObjects({}, dumps_result)) is None
    assert encode_alike([((shared, [1.0]), {}), (([2.0], shared), {})], {}, dumps_result) is None
    assert encode_alike([((shared,), {}), (([2.0],), {})], {id(shared): (0, shared)}, dumps_result) is None
    assert isinstance(encode_alike([((shared, 1), {}), (([2.0], 2), {})], {}, dumps_result), Alike)


def test_individuals_that_differ_in_kind_are_refused(tmp_path):
    for values in (
        [1, 2.0],
        [[1], [2.0]],
        [creator.ColumnList([1]), [1]],
        [2**70, 1],
        [np.array([1.0]), np.array([1])],
        [np.array([1.0]), np.array([1.0, 2.0])],
        [np.array([object()])],
        [np.zeros(10_000), np.ones(10_000)],
        [np.memmap(tmp_path / "map", mode="w+", shape=(3,))],
        [np.asarray(np.memmap(tmp_path / "map2", mode="w+", shape=(3,)))],
        ["a", "b"],
        [object()],
    ):
        assert encode_column(values, SeenObjects({}, dumps_result)) is None


@pytest.mark.parametrize("evaluated", [(2,), (0,), (0, 1, 2)])
def test_a_fitness_that_only_some_individuals_have_is_refused(evaluated):
    people = [creator.ColumnList([number]) for number in range(3)]
    for number in evaluated:
        people[number].fitness.values = float(number), 1.0
    here = returned(people)
    assert (here is None) == (len(evaluated) < 3)
    for one, other in zip(here or [], people, strict=bool(here)):
        assert one.fitness.values == other.fitness.values
        assert shape(one) == shape(other)


class Loaded:
    """Function of a frame, which the worker loads again after each call."""

    def __init__(self, objects):
        self.original = objects
        self.objects = objects

    def load_again(self):
        self.objects = copy.deepcopy(self.original)


def test_trees_refer_to_the_primitives_of_their_function():
    known = gp.PrimitiveSet("MAIN", 1)
    known.addPrimitive(operator.add, 2)
    known.addTerminal(1)
    people = [tools.initIterate(creator.ColumnTree, lambda: gp.genFull(known, 2, 2)) for _ in range(3)]
    for tree, value in zip(people, (0.5, 1.0, 1.5), strict=True):
        tree.fitness.values = value, 2.0
    nodes = {id(node): node for tree in people for node in tree}
    numbers = {key: (number, node) for number, (key, node) in enumerate(nodes.items())}
    column = encode_column(people, SeenObjects(numbers, dumps_result))
    function = Loaded(dict(numbers.values()))
    arrived = []
    for tree in pickle.loads(pickle.dumps(column.part(1, 3))).values(function):
        arrived.append(tree)
        known_here = {id(node): number for number, node in function.objects.items()}
        sent = [numbers[id(node)][0] for node in people[len(arrived)]]
        assert [known_here[id(node)] for node in tree] == sent
        function.load_again()
    assert [str(tree) for tree in arrived] == [str(tree) for tree in people[1:]]
    assert [type(tree) for tree in arrived] == [creator.ColumnTree] * 2
    assert [tree.fitness.values for tree in arrived] == [(1.0, 2.0), (1.5, 2.0)]


def test_trees_of_other_nodes_are_sent_by_their_pickles():
    known = gp.PrimitiveSet("MAIN", 1)
    known.addPrimitive(operator.add, 2)
    known.addEphemeralConstant("column_constant", functools.partial(random.randint, -1, 1))
    people = [tools.initIterate(creator.ColumnTree, lambda: gp.genFull(known, 2, 2)) for _ in range(3)]
    assert encode_column(people, SeenObjects({}, dumps_result)) is None

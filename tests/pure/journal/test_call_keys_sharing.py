"""Keys of arguments that share mutable objects: a key says which of them are one object."""

import collections
import copy
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_calls import Node, key

from hpcml.journal.call_keys import CallKeys


def call_key(function, *args, **kwargs):
    keys = CallKeys()
    return keys.call_digest(keys.object_digest(function), args, kwargs).digest


def pairs():
    """Yield pairs: a thing with one object twice, and a thing with two equal objects."""
    row, array, node, table = [0] * 3, np.zeros(3), Node(), {"a": [1]}
    yield [row] * 3, [list(row) for _ in range(3)]
    yield (array, array), (array, array.copy())
    yield {"x": node, "y": node}, {"x": node, "y": Node()}
    yield [table, table["a"]], [table, [1]]
    yield [{1}] * 2, [{1}, {1}]
    yield [bytearray(b"ab")] * 2, [bytearray(b"ab"), bytearray(b"ab")]
    yield [collections.deque([1])] * 2, [collections.deque([1]), collections.deque([1])]
    large = np.zeros(1 << 18)
    yield [large, large], [large, large.copy()]
    yield [np.array([1, None])] * 2, [np.array([1, None]), np.array([1, None])]


def test_one_mutable_object_twice_is_not_two_that_are_equal():
    for one, two in pairs():
        assert key(one) != key(two)
        assert key(one) == key(copy.deepcopy(one))
        assert key(two) == key(copy.deepcopy(two))


def test_the_places_of_a_shared_object_are_in_the_key():
    a, b, c = [0], [0], [0]
    keys = {
        key([a, a, b, c]),
        key([a, b, a, c]),
        key([a, b, c, a]),
        key([a, a, a, b]),
        key([a, a, b, b]),
        key([a, b, b, a]),
    }
    assert len(keys) == 6
    assert key([a, b, a, c]) == key([c, a, c, b])


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "make",
    [
        lambda: "".join(["a", "b"]), lambda: int("12345678901"), lambda: (int("1"), ("a", 2.5)),
        lambda: frozenset(["a", ("b",)]), lambda: bytes([1, 2]), lambda: np.float64(2.5), lambda: float("1.5"),
        lambda: np.dtype([("a", "i4")]),
        lambda: complex(1, 2), lambda: range(5), lambda: slice(1, 2), lambda: list[int],
    ],
)  # fmt: skip
def test_sharing_of_immutable_objects_is_not_in_the_key(make):
    one, two = make(), make()
    assert key([one, one, []]) == key([one, two, []])
    assert key({"a": one, "b": [one]}) == key({"a": one, "b": [two]})


CONTENT = st.recursive(
    st.integers(0, 2) | st.sampled_from(["a", "b"]),
    lambda part: (
        st.lists(part, max_size=3) | st.tuples(part, part) | st.dictionaries(st.sampled_from("xyz"), part)
    ),
    max_leaves=8,
)


def structure(thing, seen):
    """Return content and sharing of mutable objects as text, computed without keys."""
    if isinstance(thing, list | dict):
        if id(thing) in seen:
            return f"again {seen[id(thing)]}"
        seen[id(thing)] = len(seen)
    if isinstance(thing, dict):
        return f"{{{[(name, structure(part, seen)) for name, part in thing.items()]}}}"
    if isinstance(thing, list | tuple):
        return f"{type(thing).__name__}{[structure(part, seen) for part in thing]}"
    return repr(thing)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.lists(CONTENT, min_size=1, max_size=4),
    st.lists(st.integers(0, 3), max_size=5),
    st.lists(st.integers(0, 3), max_size=5),
)
def test_keys_are_equal_where_content_and_sharing_are(parts, one, two):
    one = [parts[place % len(parts)] for place in one]
    two = [parts[place % len(parts)] for place in two]
    assert (key(one) == key(two)) == (structure(one, {}) == structure(two, {}))


def test_an_argument_that_is_also_in_the_function_has_a_key_of_its_own():
    others = [Node(1), Node(2)]

    def score(others, me):
        return sum(one.value for one in others if one is not me)

    function = functools.partial(score, others)
    assert call_key(function, others[0]) != call_key(function, Node(1))
    assert call_key(function, others[0]) == call_key(
        functools.partial(score, (copied := copy.deepcopy(others))), copied[0]
    )
    assert call_key(others[0].near.append, others[1]) != call_key(others[0].near.append, others[0])


def test_a_variable_captured_by_two_functions_is_in_the_key():
    def make():
        n = 0

        def add():
            nonlocal n
            n += 1

        return add, lambda: n

    (add, get), (_, other) = make(), make()
    assert key((add, get)) != key((add, other))
    assert key(make()) == key(make())


def test_keys_of_graphs_whose_nodes_are_in_sets():
    def ring(length):
        nodes = [Node(n) for n in range(length)]
        for number, node in enumerate(nodes):
            node.near = {nodes[number - 1], nodes[(number + 1) % length]}
        return nodes[0]

    assert key(ring(4)) == key(ring(4)) != key(ring(5))

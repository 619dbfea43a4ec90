"""Keys of content: equal where content is equal; large arrays are hashed once in a call."""

import copy
import time

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed_calls import key

from hpcml.data.digests import ContentDigests
from hpcml.journal.call_keys import CallKeys

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5)
HASHABLE = st.recursive(PLAIN, lambda part: st.tuples(part, part) | st.frozensets(part, max_size=3), max_leaves=5)
CONTENT = st.recursive(
    PLAIN | st.sets(HASHABLE, max_size=4),
    lambda part: st.lists(part, max_size=4) | st.tuples(part) | st.dictionaries(HASHABLE, part, max_size=3),
    max_leaves=12,
)


def canonical(thing):
    """Return a text that is equal for equal content, computed without keys."""
    if isinstance(thing, set | frozenset):
        return f"{type(thing).__name__}({sorted(map(canonical, thing))})"
    if isinstance(thing, list | tuple):
        return f"{type(thing).__name__}({[canonical(part) for part in thing]})"
    if isinstance(thing, dict):
        return f"dict({[(canonical(name), canonical(part)) for name, part in thing.items()]})"
    return f"{type(thing).__name__}({thing!r})"


def is_immutable(thing):
    if isinstance(thing, tuple):
        return all(map(is_immutable, thing))
    return not isinstance(thing, list | dict | set)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CONTENT, CONTENT)
def test_keys_are_equal_where_content_is(one, two):
    assert (key(one) == key(two)) == (canonical(one) == canonical(two))
    assert key(copy.deepcopy(one)) == key(one)
    # One object twice, or two equal ones.
    assert (key([one, one]) == key([one, copy.deepcopy(one)])) == is_immutable(one)
    assert key((one, two)) != key((two, one)) or canonical(one) == canonical(two)


DTYPES = ["?", "i1", "i4", ">i4", "f4", "f8", "c8", "U3", "S3", "M8[s]", "m8[D]", [("a", "i4"), ("b", "f8", 2)]]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3), st.data())
def test_keys_of_arrays(dtype, shape, data):
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    content = bytes(number % 2 for number in data.draw(st.binary(min_size=size, max_size=size)))
    array = np.frombuffer(content, dtype).reshape(shape) if content else np.empty(shape, dtype)
    assert key(array) == key(array.copy())
    wide = np.empty((*shape, 3), dtype)
    wide[..., 1] = array
    assert key(wide[..., 1]) == key(array)  # strided
    assert key(array[None]) != key(array)  # shape
    if size:
        other = bytearray(content)
        place = data.draw(st.integers(0, size - 1))
        other[place] ^= 1
        assert key(np.frombuffer(bytes(other), dtype).reshape(shape)) != key(array)


def test_keys_of_equal_bytes_of_other_kinds():
    assert len({key(np.zeros(4, dtype)) for dtype in DTYPES}) == len(DTYPES)


def test_keys_of_arrays_and_frames_differ_by_kind():
    square = np.arange(9.0).reshape(3, 3)
    masked = np.ma.masked_equal(square, 3.0)
    kinds = [
        square, square.T, square[::-1], square[:, :1], square.astype(object), square.view(np.recarray), masked,
        np.ma.masked_equal(square, 4.0), np.ma.array(square, mask=masked.mask, fill_value=9), square.ravel(),
        square[0, 0], np.array(None), np.array([None]), pd.Series(square[0]), pd.Index(square[0]),
        pd.DataFrame(square), pd.DataFrame(square, columns=list("abc")), scipy.sparse.csr_matrix(square),
        scipy.sparse.csc_matrix(square), scipy.sparse.csr_array(square), np.random.RandomState(1),
        np.random.RandomState(2), np.random.default_rng(1), np.random.default_rng(2),
    ]  # fmt: skip
    keys = [key(kind) for kind in kinds]
    assert len(set(keys)) == len(keys)
    assert [key(copy.deepcopy(kind)) for kind in kinds] == keys
    wide = np.broadcast_to(square[0], (3, 3))
    assert key(wide) == key(np.array(wide, order="C"))
    state = np.random.RandomState(1)
    state.rand()
    assert key(state) not in keys  # its position in the sequence counts


def test_keys_of_objects_that_refer_to_themselves():
    def make(value):
        ring = [value, {}]
        ring[1]["ring"] = ring
        return ring

    assert key(make(1)) == key(make(1)) != key(make(2))
    assert key({"a": {frozenset(["b"])}, "r": make(1)}) == key({"a": {frozenset(["b"])}, "r": make(1)})


def test_deeply_shared_objects_take_bounded_time():
    shared = [0]
    for _ in range(60):
        shared = [shared, shared]
    began = time.monotonic()
    keys = [key(shared)]
    shared = [1]
    for _ in range(60):
        shared = [shared, shared]
    assert key(shared) not in keys
    assert time.monotonic() - began < 60  # without a limit it is 2**60 steps


@pytest.mark.parametrize("nbytes", [1 << 17, 1 << 23])
def test_a_large_array_that_changes_between_two_calls_has_another_key(nbytes):
    array = np.zeros(nbytes, np.uint8)
    before = CallKeys(ContentDigests(1 << 20)).digest((array,))
    array[-1] = 1
    assert CallKeys(ContentDigests(1 << 20)).digest((array,)) != before


def test_a_buffer_that_is_refilled_within_a_call_has_another_key():
    """An array below the limit is sent with each call as it is at that time, so its key follows its content."""
    keys, found = CallKeys(ContentDigests(1 << 20)), []
    buffer = np.zeros(1 << 17)
    assert buffer.nbytes == 1 << 20
    for number in range(3):
        buffer[:] = number
        found.append(keys.digest((buffer,)))
    assert len(set(found)) == 3


def test_an_array_above_the_limit_is_hashed_once(monkeypatch):
    looked = []
    real = CallKeys.make_reference

    def make_reference(self, nbytes, name, owner, produce):
        return real(self, nbytes, name, owner, lambda: looked.append(1) or produce())

    monkeypatch.setattr(CallKeys, "make_reference", make_reference)
    keys, array = CallKeys(ContentDigests(1 << 20)), np.zeros((1 << 17) + 1)
    assert len({keys.digest((array, number, object)) for number in range(5)}) == 5
    assert len(looked) == 1
    keys.digest((array[1:], array[::2], array.view("i8"), object))
    del array
    keys.digest((np.ones((1 << 17) + 1), object))  # perhaps at the address of the first
    assert len(looked) >= 3

"""Packing of calls: the function once, the arguments of each call apart, large content pending until staged."""

import pickle
import random

import numpy as np
import pytest
from packed_data import LIMIT, files

from hpcml.data.arguments import Each, Plain
from hpcml.data.call_data import CallData
from hpcml.data.packed import Referring
from hpcml.data.packing import Called, CallPacker
from hpcml.errors import TaskError


def called(function, sends=1, is_stable=True):
    return Called(function, "module.function", sends, is_stable)


def test_a_stable_function_is_pickled_once(store):
    packer = CallPacker(CallData(store, LIMIT))
    state = [1]

    def function(_):
        return state

    first, _ = packer.pack(called(function), (1,), {})
    state.append(2)
    assert packer.pack(called(function), (2,), {})[0] is first
    assert pickle.loads(first)(0) == [1]


def test_a_function_that_may_change_is_pickled_for_each_call(store):
    packer = CallPacker(CallData(store, LIMIT))
    state = [1]
    first, _ = packer.pack(called(lambda: state, is_stable=False), (), {})
    state.append(2)
    second, _ = packer.pack(called(lambda: state, is_stable=False), (), {})
    assert [pickle.loads(each)() for each in (first, second)] == [[1], [1, 2]]


def test_content_is_pending_until_it_is_staged(store, tmp_path):
    data, array = CallData(store, LIMIT), np.arange(1000.0)
    CallPacker(data).pack(called(len), (array,), {})
    assert not files(tmp_path)
    data.stage()
    assert len(files(tmp_path)) == 1
    assert data.pop_pending() == []


def test_the_function_that_is_sent_is_wrapped(store):
    packer = CallPacker(CallData(store, LIMIT), wrap=lambda function: [function])
    assert pickle.loads(packer.pack(called(len), (), {})[0]) == [len]


def test_an_object_of_the_function_is_the_same_object_in_the_arguments(store):
    shared = [1]
    _, arguments = CallPacker(CallData(store, LIMIT)).pack(called(lambda x: x is shared), (shared,), {})
    assert isinstance(arguments, Referring)


def test_calls_in_a_chunk_are_packed_by_what_they_are(store):
    packer = CallPacker(CallData(store, LIMIT))
    _, plain = packer.pack_all(called(pow), [((1, 2), {}), ((3, 4), {})], plain=True)
    assert isinstance(plain, Plain)
    _, each = packer.pack_all(called(pow), [(([1], 2), {}), (({}, 4), {})], plain=False)
    assert isinstance(each, Each)
    assert each.length == 2


def test_errors_name_the_part_and_the_object(store):
    packer = CallPacker(CallData(store, LIMIT))
    generator = (n for n in ())
    with pytest.raises(
        TaskError, match=r"^the function module.function cannot be sent to a worker: its variable g"
    ):
        packer.pack(called(lambda: generator), (), {})
    with pytest.raises(
        TaskError, match=r"^an argument of module.function cannot be sent to a worker: args\[1\] is a "
    ):
        packer.pack(called(len), ([], generator), {})
    with pytest.raises(TaskError, match=r"kwargs\['x'\] is a builtins.generator"):
        packer.pack_all(called(len), [(([],), {"x": generator})], plain=False)


def test_a_copied_generator_of_random_numbers_is_warned_of_once(store, caplog):
    generator = random.Random(7)
    packer = CallPacker(CallData(store, LIMIT))
    for _ in range(2):
        packer.pack(Called(generator.random, "module.draws", 1, False), (), {})
    assert caplog.text.count("module.draws holds a generator of random numbers") == 1

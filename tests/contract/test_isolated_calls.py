"""Short calls that are sent together: values, arguments and functions as if each were sent alone."""

import collections
from typing import ClassVar

import isolated
import numpy as np
from joblib import Parallel, delayed
from numbered_calls import MANY


def test_a_buffer_that_calls_refill_is_returned_as_it_was(cluster):
    assert [int(value[0]) for value in cluster.map(isolated.fill, range(MANY))] == list(range(MANY))


def test_a_list_and_a_dict_that_calls_refill_are_returned_as_they_were(cluster):
    assert list(cluster.map(isolated.collect, range(MANY))) == [[n, [n]] for n in range(MANY)]
    assert list(cluster.map(isolated.last, range(MANY))) == [{"n": n} for n in range(MANY)]


def test_a_global_that_is_returned_is_another_object_for_each_call(cluster):
    constant = {"a": 1}

    def get(_):
        return constant

    found = list(cluster.map(get, range(MANY)))
    assert len(set(map(id, found))) == MANY
    assert found == [constant] * MANY


def test_an_object_in_all_arguments_is_as_sent_in_each_call(cluster):
    def append(job):
        job["log"].append(job["i"])
        return len(job["log"])

    log = []
    assert set(cluster.map(append, [{"i": i, "log": log} for i in range(MANY)])) == {1}
    jobs = ({"i": i, "log": log} for i in range(MANY))
    assert set(Parallel(n_jobs=-1, backend="hpcml")(delayed(append)(job) for job in jobs)) == {1}


def test_an_argument_of_all_calls_is_as_sent_in_each(cluster):
    def grow(items, number):
        items.append(number)
        return len(items)

    def add(array, number):
        array += number
        return float(array.sum())

    assert set(cluster.map(grow, [[]] * MANY, range(MANY))) == {1}
    assert list(cluster.map(add, [np.zeros(5)] * MANY, range(MANY))) == [5.0 * n for n in range(MANY)]


def test_arguments_are_as_they_were_when_yielded(cluster):
    def given():
        job = {"n": 0}
        for job["n"] in range(MANY):
            yield job

    assert list(cluster.map(lambda job: job["n"], given())) == list(range(MANY))


def test_an_object_that_its_calls_change_is_as_sent_in_each(cluster):
    assert set(cluster.map(isolated.Sim().step, range(600))) == {1.0}
    assert set(cluster.map(isolated.Hidden(), range(MANY))) == {1}
    assert set(cluster.map(isolated.Slotted().add, range(MANY))) == {1}


def test_captured_objects_defaults_and_attributes_are_as_sent_in_each_call(cluster):
    seen, box = [], collections.deque()

    def captured(number):
        seen.append(number)
        return len(seen)

    def default(number, known={}):  # noqa: B006
        known[number] = True
        return len(known)

    def attribute(_):
        attribute.count = getattr(attribute, "count", 0) + 1
        return attribute.count

    def rebound(_):
        nonlocal box
        box = [*box, 1]
        return len(box)

    for function in (captured, default, rebound):
        assert set(cluster.map(function, range(MANY))) == {1}, function.__name__
    assert set(Parallel(n_jobs=-1, backend="hpcml")(delayed(captured)(n) for n in range(MANY))) == {1}


def test_a_dict_whose_values_are_exchanged_is_as_sent_in_each_call(cluster):
    table = {"a": 1, "b": 2}

    def exchange(_):
        before = dict(table)
        table["a"], table["b"] = table["b"], table["a"]
        return before["a"]

    assert set(cluster.map(exchange, range(MANY))) == {1}


def test_a_set_and_a_nested_object_are_as_sent_in_each_call(cluster):
    met, inner = set(), {"rows": [[0], [0]]}

    def meet(number):
        met.add(number)
        inner["rows"][1][0] += 1
        return len(met), inner["rows"][1][0]

    assert set(cluster.map(meet, range(MANY))) == {(1, 1)}


def test_a_generator_of_random_numbers_is_as_sent_in_each_call(cluster):
    generator = np.random.default_rng(7)

    def draw(_):
        return int(generator.integers(1000))

    assert len(set(cluster.map(draw, range(500)))) == 1


def test_a_class_of_the_script_is_made_once_on_a_worker(cluster):
    """cloudpickle makes such a class on each worker, where its base and metaclass would note it a second time."""

    class Meta(type):
        made: ClassVar = []

        def __new__(kind, name, bases, space):
            Meta.made.append(name)
            return super().__new__(kind, name, bases, space)

    class First(metaclass=Meta):
        known: ClassVar = {}

        def __init_subclass__(cls):
            First.known.setdefault(cls.__name__, []).append(cls)

    class Second(First):
        pass

    def seen(thing):
        return list(Meta.made), {name: len(kinds) for name, kinds in First.known.items()}, type(thing).__name__

    expected = [(["First", "Second"], {"Second": 1}, name) for name in ("First", "Second")] * 4
    for _ in range(2):
        assert list(cluster.map(seen, [First(), Second()] * 4)) == expected
        assert [cluster.submit(seen, one).result(100) for one in [First(), Second()] * 4] == expected
    assert Meta.made == ["First", "Second"]

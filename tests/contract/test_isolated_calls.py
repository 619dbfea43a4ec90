"""Short calls that are sent together: each is as if it had been sent alone, and runs once."""

import collections
import copy
import functools
import gc
import random
import threading
import time
import weakref
from typing import ClassVar

import isolated
import numpy as np
import pytest
from joblib import Parallel, delayed

from hpcml.cluster.map import granularity
from hpcml.errors import TaskError

MANY = 2000


def note(number, path):
    """One line for each execution, whatever happens to the process afterwards."""
    with open(path, "a") as file:
        file.write(f"{number}\n")


def executions(path):
    return collections.Counter(map(int, path.read_text().split()))


# ---- values: as they were when their call returned


def test_a_buffer_that_calls_fill_again(cluster):
    assert [int(value[0]) for value in cluster.map(isolated.fill, range(MANY))] == list(range(MANY))


def test_a_list_and_a_dict_that_calls_fill_again(cluster):
    assert list(cluster.map(isolated.collect, range(MANY))) == [[n, [n]] for n in range(MANY)]
    assert list(cluster.map(isolated.last, range(MANY))) == [{"n": n} for n in range(MANY)]


def test_a_global_that_is_returned_is_another_object_for_each_call(cluster):
    constant = {"a": 1}

    def get(_):
        return constant

    found = list(cluster.map(get, range(MANY)))
    assert len(set(map(id, found))) == MANY
    assert found == [constant] * MANY


# ---- arguments: no call sees what another has made of them


def test_an_object_that_all_arguments_hold(cluster):
    def append(job):
        job["log"].append(job["i"])
        return len(job["log"])

    log = []
    assert set(cluster.map(append, [{"i": i, "log": log} for i in range(MANY)])) == {1}
    jobs = ({"i": i, "log": log} for i in range(MANY))
    assert set(Parallel(n_jobs=-1, backend="hpcml")(delayed(append)(job) for job in jobs)) == {1}


def test_one_list_or_array_as_the_argument_of_all_calls(cluster):
    def grow(items, number):
        items.append(number)
        return len(items)

    def add(array, number):
        array += number
        return float(array.sum())

    assert set(cluster.map(grow, [[]] * MANY, range(MANY))) == {1}
    assert list(cluster.map(add, [np.zeros(5)] * MANY, range(MANY))) == [5.0 * n for n in range(MANY)]


def test_a_generator_may_change_what_it_has_given(cluster):
    def given():
        job = {"n": 0}
        for job["n"] in range(MANY):
            yield job

    assert list(cluster.map(lambda job: job["n"], given())) == list(range(MANY))


# ---- functions: each call has the function as it was submitted


def test_an_object_whose_calls_change_it(cluster):
    assert set(cluster.map(isolated.Sim().step, range(600))) == {1.0}
    assert set(cluster.map(isolated.Hidden(), range(MANY))) == {1}
    assert set(cluster.map(isolated.Slotted().add, range(MANY))) == {1}


def test_what_a_function_captures_or_has_as_default_or_attribute(cluster):
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


def test_a_dictionary_whose_values_are_exchanged(cluster):
    table = {"a": 1, "b": 2}

    def exchange(_):
        before = dict(table)
        table["a"], table["b"] = table["b"], table["a"]
        return before["a"]

    assert set(cluster.map(exchange, range(MANY))) == {1}


def test_a_set_and_a_nested_object(cluster):
    met, inner = set(), {"rows": [[0], [0]]}

    def meet(number):
        met.add(number)
        inner["rows"][1][0] += 1
        return len(met), inner["rows"][1][0]

    assert set(cluster.map(meet, range(MANY))) == {(1, 1)}


def test_a_generator_of_random_numbers_is_as_it_was_sent(cluster):
    generator = np.random.default_rng(7)

    def draw(_):
        return int(generator.integers(1000))

    assert len(set(cluster.map(draw, range(500)))) == 1


# ---- each call runs once


def test_a_call_that_changes_its_function_in_the_midst_of_many(cluster, tmp_path):
    state, path = {"warned": False}, tmp_path / "log"

    def task(number, path):
        note(number, path)
        if number % 50 == 7 and not state["warned"]:
            state["warned"] = True
        return number

    assert list(cluster.map(task, range(600), [str(path)] * 600)) == list(range(600))
    assert executions(path) == dict.fromkeys(range(600), 1)
    path.unlink()
    Parallel(n_jobs=-1, backend="hpcml")(delayed(task)(n, str(path)) for n in range(600))
    assert executions(path) == dict.fromkeys(range(600), 1)


def test_a_value_that_cannot_be_sent_back_repeats_no_call(cluster, tmp_path):
    path = tmp_path / "log"

    def task(number, path):
        note(number, path)
        return threading.Lock() if number == 400 else [number]

    results = cluster.map(task, range(600), [str(path)] * 600)
    assert [next(results) for _ in range(400)] == [[n] for n in range(400)]
    with pytest.raises(TaskError, match="lock"):
        next(results)
    assert set(executions(path).values()) == {1}


def test_a_value_that_is_too_large_repeats_no_call(cluster, tmp_path, monkeypatch):
    path = tmp_path / "log"
    monkeypatch.setattr(cluster._session.dispatcher._limits, "result", 10_000)

    def task(number, path):
        note(number, path)
        return bytearray(20_000 if number == 400 else 10)

    results = cluster.map(task, range(600), [str(path)] * 600)
    assert len([next(results) for _ in range(400)]) == 400
    with pytest.raises(TaskError, match="max_result_nbytes=10,000"):
        next(results)
    assert set(executions(path).values()) == {1}


# ---- an object in the function and in the arguments is one


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


def test_a_method_with_an_element_of_its_object(cluster):
    graph = isolated.Graph()
    expected = [(1, 0), (10, 1), (100, 2)]
    assert list(cluster.map(graph.of, graph.nodes)) == expected
    assert list(cluster.map(graph.of, graph.nodes * 200)) == expected * 200


def test_a_sentinel_that_is_passed_and_a_list_that_is_shared(cluster):
    missing, rows = object(), [[1], [2]]

    def give(value):
        return "nothing" if value is missing else value

    def same(row, number):
        rows[0].append(number)
        return len(row)

    assert list(cluster.map(give, [missing, 1] * 300)) == ["nothing", 1] * 300
    assert set(cluster.map(same, [rows[0]] * 600, range(600))) == {2}


def test_an_element_that_calls_change_is_as_sent_in_the_next(cluster):
    population = [isolated.Player(1), isolated.Player(10)]

    def weaken(me):
        me.strength -= 1
        return [player.strength for player in population]

    assert list(cluster.map(weaken, population * 300)) == [[0, 10], [1, 9]] * 300


# ---- errors


def test_arguments_that_cannot_be_read_hide_no_result(cluster):
    things = [n if n != 700 else isolated.Unreadable() for n in range(1000)]
    results = cluster.map(isolated.first_of, things)
    assert [next(results) for _ in range(700)] == list(range(700))
    with pytest.raises(KeyError, match="cannot be read"):
        next(results)


def test_a_value_that_cannot_be_read_here_hides_no_other(cluster):
    results = cluster.map(isolated.some_unreadable, range(1000))
    assert [next(results) for _ in range(700)] == [[n] for n in range(700)]
    with pytest.raises(TaskError, match="cannot be unpickled in the driver"):
        next(results)


# ---- what is kept


def test_a_result_that_the_caller_drops_is_freed(cluster):
    results = cluster.map(np.zeros, [1000, 1000])
    dropped = weakref.ref(next(results))
    gc.collect()
    assert dropped() is None
    del results


def worker_memory(_):
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_workers_keep_no_function(cluster):
    def after(maps):
        for _ in range(maps):
            content = bytes(np.random.default_rng().bytes(900_000))
            list(cluster.map(lambda n, content=content: len(content) + n, range(4)))
        return max(cluster.map(worker_memory, range(20)))

    before = after(20)
    assert after(60) < before + 30_000_000


def test_a_table_that_holds_the_map_can_be_copied(cluster):
    table = {"map": cluster.map, "cluster": cluster}
    twin = copy.deepcopy(table)
    assert list(twin["map"](abs, [-1, 2])) == [1, 2]
    assert copy.copy(cluster) is cluster
    assert twin["cluster"] is cluster


# ---- no call is made in the driver


def test_the_state_of_a_module_is_that_of_the_workers_in_every_map(cluster, monkeypatch):
    monkeypatch.setattr(isolated, "TARGET", 50)
    people = [[0, n % 5, n % 3] for n in range(300)]
    expected = [abs(sum(one)) for one in people]  # a worker imports the module, whose target is 0
    for _ in range(5):
        assert list(cluster.map(isolated.distance, people)) == expected


def test_the_random_numbers_of_other_threads_go_on(cluster):
    drawn, ended = [], threading.Event()

    def draw():
        while not ended.is_set():
            drawn.append(random.random())

    random.seed(5)
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for _ in range(10):
            list(cluster.map(isolated.distance, [[n] for n in range(300)]))
    finally:
        ended.set()
        thread.join()
    random.seed(5)
    assert drawn == [random.random() for _ in drawn]


def test_a_call_that_ends_its_script_does_not_end_the_driver(cluster):
    for _ in range(3):
        with pytest.raises((TaskError, SystemExit)):
            list(cluster.map(isolated.leave, [[n] for n in range(300)]))
    with pytest.raises(TaskError, match=r"sys\.exit"):
        cluster.submit(isolated.leave, [0]).result()


def test_the_restart_of_workers_is_no_time_of_sending(cluster, caplog, monkeypatch):
    monkeypatch.setattr(granularity, "_spent", {})
    monkeypatch.setattr(granularity, "WORTH_SAYING", 0.0)
    results = Parallel(n_jobs=-1, backend="hpcml", return_as="generator")(delayed(slow)(n) for n in range(30))
    next(results)
    with pytest.warns(UserWarning, match="tasks"):
        results.close()
    list(cluster.map(abs, range(300)))
    assert "one takes" not in caplog.text


def slow(number):
    time.sleep(0.2 if number else 0)
    return number


def test_a_class_is_made_once_whatever_notes_it(cluster):
    """cloudpickle makes such a class on each worker, and its base and metaclass note it a second time there."""

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

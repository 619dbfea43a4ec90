"""Objects that cannot be sent, or fail while being sent: the error names them, and only their own task fails."""

import asyncio
import collections
import functools
import re
import threading
import time
from concurrent import futures
from unittest import mock

import pytest
import tasks
from patience import promised

from hpcml.data.pickling import dumps, raise_unpicklable
from hpcml.errors import TaskError

LOCK = threading.Lock()


class Slots:
    __slots__ = ("lock", "number")

    def __init__(self):
        self.lock = LOCK
        self.number = 1


class Inner:
    def __init__(self):
        self.handle = LOCK


class State:
    """Object whose pickled state has no `lock`, but an `inner` that cannot be pickled."""

    def __init__(self):
        self.lock = LOCK
        self.inner = Inner()

    def __getstate__(self):
        return {"inner": self.inner}

    def method(self):
        return 1


class Stubborn:
    def __getattr__(self, name):
        raise RuntimeError(f"nobody asks for {name}")

    def __reduce__(self):
        raise TypeError("I stay")


class Nameless:
    def __repr__(self):
        raise RuntimeError("no name")


class Wordy:
    def __repr__(self):
        return "x" * 1_000_000


def of_main(kind):
    """Return the class as one of the script's, which is sent by value."""
    kind.__module__ = "__main__"
    return kind


def holding(**attributes):
    return of_main(type("Holding", (), attributes))()


def recursive():
    found = {}
    found["self"], found["lock"] = found, LOCK
    return found


def many():
    return [[number] for number in range(300_000)] + [[LOCK]]


ARGUMENTS = {
    "slots": (Slots, "args[0].lock is a _thread.lock"),
    "a state of its own": (State, "args[0].inner.handle is a _thread.lock"),
    "attributes that fail": (
        Stubborn,
        "args[0] is a test_strange_objects.Stubborn, which cannot be pickled (I stay)",
    ),
    "a key without a name": (lambda: {Nameless(): LOCK}, "args[0][a Nameless] is a _thread.lock"),
    "a key with a long name": (lambda: {Wordy(): LOCK}, "x…] is a _thread.lock"),
    "a key": (lambda: {LOCK: 1}, "is a _thread.lock"),
    "a cycle": (recursive, "args[0]['lock'] is a _thread.lock"),
    "an ordered dict": (lambda: collections.OrderedDict(a=[LOCK]), "args[0]['a'][0] is a _thread.lock"),
    "a default dict": (lambda: collections.defaultdict(list, a=[LOCK]), "args[0]['a'][0] is a _thread.lock"),
    "a deque": (lambda: collections.deque([LOCK]), "args[0][0] is a _thread.lock"),
    "a set": (lambda: {LOCK}, "args[0][0] is a _thread.lock"),
    "a method": (lambda: Inner().__init__, "args[0].__self__.handle is a _thread.lock"),
    "a partial": (lambda: functools.partial(print, end=LOCK), "args[0].keywords['end'] is a _thread.lock"),
    "a class of the script": (lambda: holding(lock=LOCK), "args[0]'s class Holding.lock is a _thread.lock"),
    "many": (many, "args[0][300000][0] is a _thread.lock"),
    "deep": (lambda: functools.reduce(lambda inner, _: [inner], range(100_000), []), "args[0][0][0]"),
    "a generator": (lambda: (n for n in ()), "args[0] is a builtins.generator"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_argument_is_refused_with_its_path(name):
    make, message = ARGUMENTS[name]
    began = time.monotonic()
    with pytest.raises(TaskError, match=re.escape(message)) as caught:
        args = (make(),)
        try:
            dumps((args, {}))
        except Exception as error:
            raise_unpicklable(error, "an argument of f", {"args": args, "kwargs": {}})
    assert time.monotonic() - began < promised(10)
    assert str(caught.value).startswith("an argument of f cannot be sent to a worker: args[0]")
    assert len(str(caught.value)) < 1000


def with_default(number, lock=LOCK):
    return number, lock


def with_a_late_variable():
    lock = threading.Lock()

    def function():
        return late, lock

    if lock is None:
        late = 1
    return function


def test_a_function_is_refused_with_its_path(cluster):
    by_value = type(with_default)(with_default.__code__, {"__name__": "__main__"}, "f", (LOCK,))
    nested = type(with_default)((lambda: lambda: LOCK).__code__, {"__name__": "__main__", "LOCK": LOCK}, "f")
    for function, message in (
        (by_value, r"its default lock is a _thread\.lock"),
        (nested, r"its global LOCK is a _thread\.lock"),
        (with_a_late_variable(), r"its variable lock is a _thread\.lock"),
        (State().method, r"its \.__self__\.inner\.handle is a _thread\.lock"),
        (functools.partial(tasks.add, LOCK), r"its \.args\[0\] is a _thread\.lock"),
    ):
        with pytest.raises(TaskError, match=rf"the function .* cannot be sent to a worker: {message}"):
            cluster.submit(function)
    message = r"tasks\.add cannot be sent to a worker: kwargs\['b'\] is a _thread\.lock"
    with pytest.raises(TaskError, match=message):
        cluster.submit(tasks.add, 1, b=LOCK)


class LoadError(Exception):
    pass


class FailsToLoad:
    def __reduce__(self):
        return fail_to_load, (LoadError,)


class ExitsOnLoad:
    def __reduce__(self):
        return fail_to_load, (SystemExit,)


def fail_to_load(kind):
    raise kind("on arrival")


class NoText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class NoPickle(Exception):
    def __reduce__(self):
        raise RuntimeError("no pickle")


class NoChange(Exception):
    def __setattr__(self, name, value):
        raise RuntimeError("no change")


class NoDict(Exception):
    @property
    def __dict__(self):
        raise RuntimeError("no dict")


class TwoWords(Exception):
    def __init__(self, first, second):
        super().__init__("two words")
        self.first = first
        self.second = second


def make(kind, *args):
    return kind(*args)


def same(thing):
    return thing


def throw(kind, *args):
    raise kind(*args)


def throw_local():
    class Local(Exception):
        def __init__(self, first, second):
            self.pair = first, second

    raise Local(1, 2)


def throw_from():
    try:
        raise NoPickle
    except NoPickle as cause:
        error = ValueError("outer")
        error.lock = threading.Lock()
        error.code = 7
        raise error from cause


def nested_lock():
    return {"model": [1, threading.Lock()]}


def results_and_errors(submit):
    """Return futures of strange calls, each with the type and the text of its error."""
    return [
        (submit(make, FailsToLoad), TaskError, "cannot be unpickled in the driver: LoadError"),
        (submit(make, ExitsOnLoad), TaskError, "cannot be unpickled in the driver: SystemExit"),
        (submit(nested_lock), TaskError, r"a builtins\.dict.*: its \['model'\]\[1\] is a _thread\.lock"),
        (submit(tasks.add, FailsToLoad()), LoadError, "on arrival"),
        (submit(tasks.add, ExitsOnLoad()), SystemExit, "on arrival"),
        (submit(throw, NoPickle), NoPickle, ""),
        (submit(throw, NoChange), NoChange, ""),
        (submit(throw, NoDict), NoDict, ""),
        (submit(throw, TwoWords, 1, 2), TwoWords, "two words"),
        (submit(throw_local), Exception, r"\(1, 2\)"),
        (submit(throw_from), ValueError, "outer"),
        (submit(throw, futures.CancelledError), futures.CancelledError, ""),
        (submit(throw, asyncio.CancelledError), asyncio.CancelledError, ""),
        (submit(throw, KeyboardInterrupt), KeyboardInterrupt, ""),
        (submit(throw, GeneratorExit), GeneratorExit, ""),
        (submit(throw, StopIteration, 3), StopIteration, "3"),
        (submit(throw, UnicodeDecodeError, "utf8", b"x", 0, 1, "bad"), UnicodeDecodeError, "bad"),
        (submit(throw, int), TypeError, "must derive from BaseException"),
        (submit(mock.sentinel), TypeError, "not callable"),
    ]


def test_strange_results_and_errors_fail_only_their_own_task(cluster):
    around = [cluster.submit(tasks.add, number) for number in range(5)]
    strange = results_and_errors(cluster.submit)
    mute = cluster.submit(throw, NoText)
    around += [cluster.submit(tasks.add, number) for number in range(5)]
    for future, kind, text in strange:
        with pytest.raises(kind, match=text or None):
            future.result(10)
    assert type(mute.exception(10)) is NoText
    assert [future.result(10) for future in around] == [0, 1, 2, 3, 4] * 2


def test_mocks_and_objects_without_repr_are_sent(cluster):
    assert isinstance(cluster.submit(same, mock.MagicMock()).result(10), mock.MagicMock)
    assert isinstance(cluster.submit(make, Nameless).result(10), Nameless)


def test_classes_and_functions_of_a_script_are_sent(cluster):
    point = of_main(type("Point", (), {"__init__": lambda self, x: setattr(self, "x", x)}))
    found = cluster.submit(lambda p: type(p)(p.x + 1), point(1)).result(10)
    assert (type(found), found.x) == (point, 2)

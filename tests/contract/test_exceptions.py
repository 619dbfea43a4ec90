"""Exceptions of tasks: type, arguments, attributes, notes, causes and members are those of one process."""

import dataclasses
import threading

import pytest

import hpcml
from hpcml.data.outcomes import RemoteTraceback


class Picky(Exception):
    def __init__(self, number, reason):
        super().__init__(f"{number}: {reason}")
        self.number = number
        self.reason = reason


class KeywordOnly(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class Prefixed(Exception):
    """Exception whose unpickled copy has the prefix twice."""

    def __init__(self, text):
        super().__init__(f"error: {text}")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    a: int
    b: str


class WrongReduce(Exception):
    def __reduce__(self):
        return WrongReduce, (1, 2, 3)

    def __init__(self):
        super().__init__("x")


class RightReduce(Exception):
    def __init__(self, lock, number):
        super().__init__(number)
        self.lock = lock
        self.number = number

    def __reduce__(self):
        return RightReduce, (None, self.number)


class Quit(SystemExit):
    def __init__(self, code, reason):
        super().__init__(code)
        self.reason = reason


class Stop(KeyboardInterrupt):
    def __init__(self, *, reason):
        super().__init__()
        self.reason = reason


class Closed(GeneratorExit):
    pass


class NoFile(FileNotFoundError):
    def __init__(self, path, *, where):
        super().__init__(2, "no file", path)
        self.where = where


class Both(KeyError, OSError):
    pass


class WithSlots(ValueError):
    __slots__ = ("place",)


class OwnGroup(ExceptionGroup):
    def __init__(self, message, errors):
        self.extra = 5


class NewGroup(ExceptionGroup):
    def __new__(cls, errors, code):
        made = super().__new__(cls, f"code {code}", errors)
        made.code = code
        return made


def with_attributes(error, **attributes):
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def noted(error, *notes):
    for note in notes:
        error.add_note(note)
    return error


def raised_from(error, cause):
    error.__cause__ = cause
    return error


def while_handling(error, context, *, hidden=False):
    error.__context__ = context
    error.__suppress_context__ = hidden
    return error


def circle():
    one, two = Picky(1, "a"), ValueError(2)
    one.__context__ = two
    two.__context__ = one
    one.other = two
    return one


MADE = {
    "picky": lambda: Picky(1, "a"),
    "keyword only": lambda: KeywordOnly(code=3),
    "prefixed": lambda: Prefixed("once"),
    "frozen": lambda: Frozen(1, "b"),
    "wrong reduce": WrongReduce,
    "quit": lambda: Quit(3, "done"),
    "stop": lambda: Stop(reason="enough"),
    "closed": lambda: Closed("gen"),
    "group": lambda: ExceptionGroup("many", [Picky(1, "a"), ValueError(2)]),
    "nested groups": lambda: ExceptionGroup(
        "outer", [ExceptionGroup("inner", [Picky(1, "a"), KeywordOnly(code=4)]), OSError(2, "no such", "f.txt")]
    ),
    "base group": lambda: BaseExceptionGroup("base", [KeyboardInterrupt(), Picky(3, "k")]),
    "own group": lambda: OwnGroup("own", [Picky(1, "z")]),
    "new group": lambda: NewGroup([Picky(1, "n")], 9),
    "notes": lambda: noted(ExceptionGroup("g", [noted(Picky(1, "a"), "inner")]), "one", "two"),
    "attributes": lambda: with_attributes(ExceptionGroup("g", [with_attributes(Picky(1, "a"), x=[1])]), y={2}),
    "cause": lambda: raised_from(Picky(1, "a"), raised_from(KeywordOnly(code=2), ZeroDivisionError("zero"))),
    "context": lambda: while_handling(Picky(1, "a"), KeyError("k")),
    "hidden context": lambda: while_handling(Picky(1, "a"), KeyError("k"), hidden=True),
    "causes in a group": lambda: ExceptionGroup("g", [raised_from(Picky(1, "a"), KeywordOnly(code=2))]),
    "error as an attribute": lambda: with_attributes(ValueError(1), other=Picky(1, "a")),
    "circle": circle,
    "unicode": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "file": lambda: OSError(2, "No such file", "f.txt"),
    "two files": lambda: OSError(17, "exists", "a", None, "b"),
    "own file": lambda: NoFile("f.txt", where="there"),
    "two bases": lambda: Both(1, "two"),
    "slots": lambda: with_attributes(WithSlots("s"), place=7),
    "import": lambda: ImportError("x", name="mod", path="p"),
    "attribute": lambda: AttributeError("no", name="a", obj=[1]),
    "syntax": lambda: SyntaxError("bad", ("f.py", 1, 2, "text", 1, 3)),
    "stop iteration": lambda: StopIteration(5),
}
FIELDS = ("errno", "filename", "filename2", "name", "path", "code", "value", "object", "msg", "lineno", "place")


def described(error, known=()):
    """Return the visible parts of an exception, without the remote traceback."""
    if error is None or isinstance(error, RemoteTraceback):
        return None
    if id(error) in known:
        return type(error)
    known = (*known, id(error))
    return (
        type(error),
        str(error),
        [described(arg, known) if isinstance(arg, BaseException) else repr(arg) for arg in error.args],
        {
            name: described(value, known) if isinstance(value, BaseException) else value
            for name, value in vars(error).items()
        },
        [getattr(error, name, None) for name in FIELDS],
        [described(member, known) for member in getattr(error, "exceptions", ())],
        described(error.__cause__, known),
        described(error.__context__, known),
        error.__suppress_context__,
    )


def fail(name):
    raise MADE[name]()


def give(name):
    return MADE[name]()


@pytest.mark.parametrize("name", MADE)
def test_an_exception_arrives_equal(name, cluster):
    error = cluster.submit(fail, name).exception(timeout=120)
    assert described(error) == described(MADE[name]())
    last = error
    while last.__cause__ is not None:
        last = last.__cause__
    assert isinstance(last, RemoteTraceback)
    assert f"on {last.worker}" in str(last)
    assert "in fail" in str(last)
    if isinstance(error, BaseExceptionGroup):
        (members,) = [arg for arg in error.args if isinstance(arg, list)]
        assert all(a is b for a, b in zip(members, error.exceptions, strict=True))


def test_exceptions_can_be_results_and_arguments(cluster):
    names = list(MADE)
    assert [described(e) for e in cluster.map(give, names)] == [described(MADE[name]()) for name in names]
    names.remove("wrong reduce")  # no argument: the pickle of one is as its class says
    assert list(cluster.map(str, [MADE[name]() for name in names])) == [str(MADE[name]()) for name in names]


def unpicklable(name):
    if name == "attribute":
        raise with_attributes(Picky(1, "a"), lock=threading.Lock(), fine=4)
    if name == "member":
        raise ExceptionGroup("g", [with_attributes(Picky(1, "a"), lock=threading.Lock(), fine=4)])
    if name == "reduce":
        raise RightReduce(threading.Lock(), 6)
    if name == "argument":
        raise KeyError(threading.Lock(), 5)
    if name == "circle":
        error = Picky(1, "a")
        error.holder = [error, threading.Lock()]
        raise error
    if name == "local class":

        class Local(Exception):
            def __init__(self):
                super().__init__("local")

        raise Local
    raise raised_from(ValueError("top"), with_attributes(Picky(1, "a"), lock=threading.Lock()))


def test_only_the_attribute_that_cannot_be_pickled_is_dropped(cluster):
    def of(name):
        return cluster.submit(unpicklable, name).exception(timeout=120)

    assert vars(of("attribute")) == {"number": 1, "reason": "a", "fine": 4}
    assert vars(of("member").exceptions[0]) == {"number": 1, "reason": "a", "fine": 4}
    assert vars(of("reduce")) == {"lock": None, "number": 6}
    text, number = of("argument").args
    assert (type(of("argument")), number) == (KeyError, 5)
    assert "_thread.lock" in text
    assert vars(of("circle")) == {"number": 1, "reason": "a"}
    assert (type(of("local class")).__name__, of("local class").args) == ("Local", ("local",))
    assert vars(of("cause").__cause__) == {"number": 1, "reason": "a"}


def test_groups_of_exceptions_are_split_by_type(cluster):
    with pytest.raises(ExceptionGroup) as caught:
        cluster.submit(fail, "nested groups").result()
    picky, rest = caught.value.split(Picky)
    assert picky.exceptions[0].exceptions[0].number == 1
    assert rest.subgroup(OSError).exceptions[0].filename == "f.txt"


def test_a_bare_exit_in_a_task_is_an_error(cluster):
    def leave():
        raise SystemExit

    with pytest.raises(hpcml.TaskError, match="sys.exit"):
        cluster.submit(leave).result()

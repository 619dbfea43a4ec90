"""Pickles of exceptions: made without ``__init__``, with all content that can be pickled; causes are appended."""

import pickle
import threading

import pytest

from hpcml.data.exceptions import attach_cause, reduce_error
from hpcml.data.out_of_band import dumps_result


class KeywordOnly(Exception):
    def __init__(self, *, code):
        super().__init__(f"code {code}")
        self.code = code


class WithSlot(Exception):
    __slots__ = ("place",)


class WithForm(Exception):
    def __reduce__(self):
        return WithForm, (*self.args, "again")


class WithWrongForm(Exception):
    def __init__(self):
        super().__init__("text")

    def __reduce__(self):
        return WithWrongForm, (1, 2, 3)


def copied(error):
    return pickle.loads(dumps_result(error))


def test_init_is_not_called():
    error = copied(KeywordOnly(code=7))
    assert (type(error), error.args, error.code) == (KeywordOnly, ("code 7",), 7)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "a.txt"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
        ImportError("no", name="module", path="/path"),
        StopIteration(3),
        SystemExit(4),
    ],
    ids=lambda error: type(error).__name__,
)
def test_fields_of_builtin_classes(error):
    fields = ("filename", "errno", "object", "start", "name", "path", "value", "code")
    found = copied(error)
    assert (type(found), found.args, str(found)) == (type(error), error.args, str(error))
    assert [getattr(found, name, None) for name in fields] == [getattr(error, name, None) for name in fields]


def test_slots_notes_and_links():
    error = WithSlot("text")
    error.place = 3
    error.add_note("a note")
    error.__cause__ = ValueError("cause")
    found = copied(error)
    assert (found.place, found.__notes__, str(found.__cause__)) == (3, ["a note"], "cause")
    assert found.__suppress_context__


def test_attributes_that_cannot_be_pickled_are_left_out():
    error = ValueError("text", threading.Lock())
    error.lock = threading.Lock()
    error.number = 5
    found = copied(error)
    assert found.args[0] == "text"
    assert found.args[1].startswith("<unlocked _thread.lock")
    assert vars(found) == {"number": 5}


def test_a_reduction_of_the_class_is_used_where_it_can_be_loaded():
    assert copied(WithForm("text")).args == ("text", "again")
    assert copied(WithWrongForm()).args == ("text",)
    assert reduce_error(WithForm("text"))[0] is WithForm


def test_a_group_keeps_its_exceptions():
    found = copied(ExceptionGroup("several", [ValueError(1), KeyError(2)]))
    assert [(type(one), one.args) for one in found.exceptions] == [(ValueError, (1,)), (KeyError, (2,))]


def test_a_cause_is_appended_to_the_chain():
    first, second, cause = ValueError(1), KeyError(2), OSError(3)
    first.__cause__ = second
    second.__context__ = LookupError(4)
    attach_cause(first, cause)
    assert first.__cause__ is second
    assert second.__cause__ is cause
    assert not second.__suppress_context__


def test_a_circle_of_causes_ends():
    first, second = ValueError(1), KeyError(2)
    first.__cause__ = second
    second.__cause__ = first
    attach_cause(first, OSError(3))
    assert isinstance(second.__cause__, OSError)

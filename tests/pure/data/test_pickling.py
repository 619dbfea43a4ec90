"""Pickles of plain values, of results and of errors."""

import pickle

import pytest

from hpcml.data.pickling import dumps_parts, is_plain, pack_error, pack_plain, raise_unpicklable
from hpcml.errors import HpcmlError, TaskError


def test_plain_arguments_are_short_and_cannot_change():
    assert is_plain((1, 2.5, "a", b"b", None, True), {"x": "y"})
    assert not is_plain(("a" * 2000,), {})
    assert not is_plain(((1,),), {})
    assert not is_plain((), {"x": []})


def test_plain_arguments_have_a_pickle_of_their_own():
    assert pickle.loads(pack_plain((1, "a"), {})) == ((1, "a"), {})
    assert pack_plain((1,), {"x": 2}) is None
    assert pack_plain(([1],), {}) is None
    assert pack_plain((b"x" * 200_000,), {}) is None


def test_parts_are_a_plain_tuple():
    assert pickle.loads(dumps_parts(1, "a", None)) == (1, "a", None)
    assert pickle.loads(dumps_parts([1], None)) == ([1], None)
    with pytest.raises(TaskError, match="it is a builtins.generator, which cannot be pickled"):
        dumps_parts(1, (n for n in ()))


def test_an_error_names_the_object():
    with pytest.raises(TaskError) as caught:
        raise_unpicklable(TypeError("no"), "the thing", {"first": 1, "second": [(n for n in ())]})
    assert "second[0] is a builtins.generator, which cannot be pickled (no)" in str(caught.value)
    assert str(caught.value).startswith("the thing cannot be sent to a worker: ")
    assert str(caught.value).endswith("Create it inside the function, or pass what is needed to create it there.")
    assert isinstance(caught.value.__cause__, TypeError)


def test_an_error_of_hpcml_is_raised_as_it_is():
    error = HpcmlError("of ours")
    with pytest.raises(HpcmlError) as caught:
        raise_unpicklable(error, "the thing", {"": 1})
    assert caught.value is error
    assert error.__cause__ is None


def test_an_exception_is_packed_without_what_cannot_be_pickled():
    error = ValueError("wrong")
    error.__cause__ = KeyError("cause")
    assert isinstance(pickle.loads(pack_error(error)), ValueError)
    error.__cause__.thing = (n for n in ())
    unpacked = pickle.loads(pack_error(error))
    assert isinstance(unpacked, ValueError)
    assert unpacked.args == ("wrong",)

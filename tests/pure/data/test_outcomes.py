"""Outcomes are packed on a worker and unpacked in the driver; their layout is that of journals on disk."""

import pickle
import warnings

import pytest

from hpcml.data.outcomes import (
    CaughtWarning,
    Execution,
    Outcome,
    RemoteTraceback,
    join_outcomes,
    pack_again,
    pack_outcome,
    pack_warnings,
    read_head,
    unpack_outcome,
    unpack_outcomes,
)
from hpcml.data.values import PackedValues, Values
from hpcml.errors import TaskError

EXECUTION = Execution(started=1.0, seconds=2.0, peak=3)
LIMIT = 1000


def test_the_layout_in_journals_is_this():
    """A change of it raises the number in the title of hpcml/journal/records.py."""
    packed = pack_outcome([1, "a"], None, EXECUTION, LIMIT)
    assert pickle.loads(packed) == ([1, "a"], None, "", 1.0, 2.0, 3, "", b"")
    packed = pack_outcome(None, ValueError("no"), EXECUTION._replace(trace="line 1"), LIMIT)
    value, error, *rest = pickle.loads(packed)
    assert value is None
    assert isinstance(pickle.loads(error), ValueError)
    assert rest == ["line 1", 1.0, 2.0, 3, "", b""]
    assert b"hpcml.data.outcomes" not in packed


def test_the_layout_of_a_chunk_in_journals_is_this():
    values = Values(LIMIT)
    for value in (1, [2]):
        values.add(value)
    packed, *rest = pickle.loads(pack_outcome(values, None, EXECUTION, LIMIT))
    assert isinstance(packed, PackedValues)
    assert tuple(packed) == ([1, None], {1: pickle.dumps(([2],), pickle.HIGHEST_PROTOCOL)})
    assert rest == [None, "", 1.0, 2.0, 3, "", b""]


def test_a_value_is_unpacked_with_the_worker_and_its_times():
    packed = pack_outcome({"a": 1}, None, EXECUTION, LIMIT)
    outcome = unpack_outcome(packed, "n1:0", b"modules")
    assert outcome == Outcome({"a": 1}, None, "n1:0", 1.0, 2.0, 3, (), b"modules")
    assert pack_again(outcome) == packed


def test_an_error_is_unpacked_with_its_traceback_as_cause():
    packed = pack_outcome(None, KeyError("k"), EXECUTION._replace(trace="Traceback of the worker"), LIMIT)
    error = unpack_outcome(packed, "n1:0").error
    assert isinstance(error, KeyError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert str(error.__cause__) == "on n1:0\nTraceback of the worker"


def test_a_value_that_is_too_large_is_an_error_with_its_size():
    outcome = unpack_outcome(pack_outcome(b"x" * LIMIT, None, EXECUTION, LIMIT), "n1:0")
    assert isinstance(outcome.error, TaskError)
    assert "more than max_result_nbytes=1,000" in str(outcome.error)
    assert outcome.seconds == 2.0


def test_a_value_that_cannot_be_pickled_is_an_error_with_its_type():
    outcome = unpack_outcome(pack_outcome((n for n in ()), None, EXECUTION, LIMIT), "n1:0")
    assert str(outcome.error).startswith("the result, a builtins.generator, cannot be sent back: ")


@pytest.mark.parametrize("packed", [b"", b"no pickle", pickle.dumps((1, 2))])
def test_an_outcome_that_cannot_be_unpacked_is_an_error(packed):
    error = unpack_outcome(packed, "n1:0").error
    assert isinstance(error, TaskError)
    assert "cannot be unpickled in the driver" in str(error)


def test_warnings_are_packed_apart():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn_explicit("old", DeprecationWarning, "script.py", 7)
    packed = pack_outcome(1, None, EXECUTION._replace(warnings=pack_warnings(caught)), LIMIT)
    (found,) = unpack_outcome(packed, "n1:0").warnings
    assert found == CaughtWarning("old", DeprecationWarning, "script.py", 7)
    assert pack_warnings([]) == b""


def test_a_warning_whose_class_is_not_in_the_driver_costs_the_warning_alone():
    packed = pack_outcome(1, None, EXECUTION._replace(warnings=b"no pickle"), LIMIT)
    assert unpack_outcome(packed, "n1:0") == Outcome(1, None, "n1:0", 1.0, 2.0, 3)


def test_a_frame_of_outcomes_keeps_their_order_and_its_head():
    packed = [pack_outcome(value, None, EXECUTION, LIMIT) for value in ("a", 2, None)]
    frame = join_outcomes("n1:0", packed, b"modules", (b"out", b"err"), 4)
    found = list(unpack_outcomes(frame))
    assert [bytes(one) for one, _ in found] == packed
    assert [outcome.value for _, outcome in found] == ["a", 2, None]
    assert {outcome.worker for _, outcome in found} == {"n1:0"}
    head = read_head(frame)
    assert (head.worker, head.modules, head.printed, head.readings) == ("n1:0", b"modules", (b"out", b"err"), 4)

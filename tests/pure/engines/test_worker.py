"""A worker runs a frame: whatever a task does, each call has one outcome."""

import pickle
import warnings

import cloudpickle
import pytest

from hpcml.data.envelope import Call, pack_frame
from hpcml.data.outcomes import RemoteTraceback, read_head, unpack_outcomes
from hpcml.engines.worker import READ_ONLY, run_frame
from hpcml.errors import TaskError


def outcomes(*calls, limit=10_000):
    """Run calls, each a function and its arguments, as one frame."""
    packed = [Call(cloudpickle.dumps(call), pickle.dumps((args, {})), "name", "group") for call, *args in calls]
    frame = run_frame(pack_frame(packed, limit))
    assert read_head(frame).lengths
    return [outcome for _, outcome in unpack_outcomes(frame)]


def test_values_are_in_the_order_of_the_calls():
    found = outcomes((abs, -1), (pow, 2, 3), (len, "abc"))
    assert [outcome.value for outcome in found] == [1, 8, 3]
    assert all(outcome.error is None and outcome.peak > 0 and outcome.started > 0 for outcome in found)


def test_an_error_is_that_of_its_call_alone():
    first, second = outcomes((lambda: 1 / 0,), (abs, -1))
    assert isinstance(first.error, ZeroDivisionError)
    assert isinstance(first.error.__cause__, RemoteTraceback)
    assert "ZeroDivisionError" in str(first.error.__cause__)
    assert second.value == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit(3), GeneratorExit])
def test_an_exception_that_ends_programs_ends_the_call(error):
    def end():
        raise error

    (outcome,) = outcomes((end,))
    assert isinstance(outcome.error, error if isinstance(error, type) else type(error))


def test_an_exit_without_a_status_does_not_end_the_driver():
    (outcome,) = outcomes((exit,))
    assert isinstance(outcome.error, TaskError)
    assert "a task called sys.exit()" in str(outcome.error)


def test_a_function_with_state_is_new_for_each_call():
    class Counter:
        count = 0

        def __call__(self):
            self.count += 1
            return self.count

    counter = Counter()
    assert [outcome.value for outcome in outcomes((counter,), (counter,))] == [1, 1]


@pytest.mark.filterwarnings("always")
def test_warnings_are_those_of_their_call():
    found = outcomes((warnings.warn, "first"), (abs, 1), (warnings.warn, "third"))
    assert [[warning.message for warning in outcome.warnings] for outcome in found] == [["first"], [], ["third"]]


def test_a_call_that_cannot_be_unpickled_spoils_no_other():
    packed = [Call(b"no pickle", pickle.dumps(((), {})), "name", "group"),
              Call(cloudpickle.dumps(abs), pickle.dumps(((-1,), {})), "name", "group")]  # fmt: skip
    first, second = (outcome for _, outcome in unpack_outcomes(run_frame(pack_frame(packed, 10_000))))
    assert isinstance(first.error, pickle.UnpicklingError)
    assert second.value == 1


def test_a_value_above_the_limit_is_an_error():
    (outcome,) = outcomes((bytes, 2000), limit=1000)
    assert "more than max_result_nbytes=1,000" in str(outcome.error)


def test_an_error_of_small_data_has_no_note_on_shared_memory():
    def refuse():
        raise ValueError("assignment destination is read-only")

    (outcome,) = outcomes((refuse,))
    assert READ_ONLY not in getattr(outcome.error, "__notes__", ())

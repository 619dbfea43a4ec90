"""Grader of the speed-up exercise: results of planted times pass, and each wrong conclusion fails its check."""

import pytest

from hpcml.commands.tutorial.graders.speedup import grade

SLOTS = [1, 2, 4]
SECONDS = [1.1, 0.7, 0.5]  # 0.3 and 0.8 / p
RIGHT = {
    "quick": True,
    "slots": SLOTS,
    "repeats": [3, 3, 3],
    "seconds": SECONDS,
    "serial_seconds": [1.0, 1.02, 0.99],
    "baseline": 1.0,
    "speedups": [1.0 / one for one in SECONDS],
    "efficiencies": [1.0 / one / slots for one, slots in zip(SECONDS, SLOTS, strict=True)],
    "serial_fraction": 0.3 / 1.1,
    "table_fraction": 0.105,
    "stop": 2,
}


def failed(**changes):
    return {check.name for check in grade({**RIGHT, **changes}) if not check.passed}


def test_conclusions_that_follow_from_the_times_pass():
    assert failed() == set()
    assert failed(slots=[*SLOTS, 8], repeats=[3] * 4, seconds=[*SECONDS, 0.4], speedups=[1 / 1.1, 1 / 0.7, 2, 2.5],
                  efficiencies=[1 / 1.1, 0.5 / 0.7, 0.5, 2.5 / 8]) == set()  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"slots": [1, 2], "seconds": [1.1, 0.7]}, {"numbers of slots"}),
        ({"slots": [2, 4, 8]}, {"numbers of slots"}),
        ({"slots": [1, 4, 2]}, {"numbers of slots"}),
        ({"seconds": [1.1, 0.7]}, {"numbers of slots"}),
        ({"repeats": [3, 3, 2]}, {"repeats"}),
        ({"quick": False}, {"repeats"}),
        ({"serial_seconds": [1.0]}, {"repeats"}),
        ({"speedups": [1.1 / one for one in SECONDS]}, {"speed-ups"}),
        ({"efficiencies": RIGHT["speedups"]}, {"efficiencies"}),
        ({"serial_fraction": 0.1}, {"serial fraction"}),
        ({"table_fraction": 0.2}, {"serial fraction"}),
        ({"stop": 4}, {"where to stop"}),
    ],
    ids=range(12),
)
def test_each_other_conclusion_fails_its_check(changes, names):
    assert failed(**changes) == names


def test_the_time_on_one_slot_is_no_baseline():
    one = SECONDS[0]
    changes = {
        "speedups": [one / other for other in SECONDS],
        "efficiencies": [one / other / slots for other, slots in zip(SECONDS, SLOTS, strict=True)],
    }
    assert failed(baseline=one, **changes) == {"baseline"}


def test_a_fit_outside_of_its_range_is_right_where_noise_makes_more_slots_slower():
    """Least squares of these times: a serial fraction of 1.254."""
    slower = [1.0, 1.1, 1.2]
    changes = {
        "seconds": slower,
        "speedups": [1.0 / one for one in slower],
        "efficiencies": [1.0 / one / slots for one, slots in zip(slower, SLOTS, strict=True)],
        "stop": 1,
    }
    assert failed(serial_fraction=1.254, **changes) == set()
    assert failed(serial_fraction=0.5, **changes) == {"serial fraction"}


def test_times_of_zero_and_none_are_refused():
    assert failed(seconds=[0.0, 0.7, 0.5]) == {"numbers of slots"}
    assert failed(serial_seconds=[]) == {"serial code"}
    assert failed(repeats=[]) == {"repeats"}

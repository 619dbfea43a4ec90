"""Number of calls that an element of an array claims, and when it claims no more."""

from dataclasses import replace

from hpcml.cluster.jobs.array_folder import ArrayPlan
from hpcml.cluster.jobs.element import Pace

PLAN = ArrayPlan("f", calls=1000, elements=1000, minutes=10)


def simulate(plan, seconds, elements=1):
    """Return the number of calls, and the seconds, of one element whose calls take `seconds` each."""
    pace, now, done, claims = Pace(plan, 0.0), 0.0, 0, 0
    while done < plan.calls and (count := pace.next(plan.calls - done, elements - 1, now)):
        now += count * seconds
        done += count
        claims += 1
        pace.note(count, count * seconds)
    return done, now, claims


def test_an_element_lasts_about_ten_minutes():
    done, now, _ = simulate(PLAN, 7.0)
    assert (done, now) == (86, 602.0)


def test_short_calls_are_claimed_together():
    done, now, claims = simulate(PLAN, 0.01)
    assert (done, round(now)) == (1000, 10)
    assert claims < 25


def test_long_calls_are_claimed_alone():
    assert simulate(PLAN, 900.0) == (1, 900.0, 1)


def test_the_calls_that_are_left_are_shared_with_the_other_elements():
    pace = Pace(PLAN, 0.0)
    for _ in range(4):
        pace.note(64, 0.01)
    assert pace.next(60, 2, 1.0) == 10


def test_no_call_is_left_where_elements_are_fewer_than_ten_minutes_would_need():
    assert simulate(replace(PLAN, elements=10), 60.0)[0] == 100


def test_the_number_of_calls_can_be_given():
    assert simulate(replace(PLAN, calls_per_element=3), 0.001)[0] == 3
    assert simulate(replace(PLAN, calls_per_element=3), 1000.0)[0] == 3


def test_no_call_begins_that_would_pass_the_time_limit():
    done, now, _ = simulate(replace(PLAN, time_limit=5.0), 70.0)
    assert (done, now) == (4, 280.0)

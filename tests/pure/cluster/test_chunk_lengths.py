"""Lengths of the messages of a map: all calls are in one, none is empty, and slots that begin later get fewer."""

from hypothesis import given
from hypothesis import strategies as st

from hpcml.cluster.dispatch.sizes import chunk_lengths

LONGEST = 0.2


@given(seconds=st.floats(1e-7, 1.0), waiting=st.integers(1, 20_000), slots=st.integers(1, 64))
def test_all_calls_are_in_a_message_and_none_lasts_too_long(seconds, waiting, slots):
    lengths = list(chunk_lengths(seconds, waiting, slots, LONGEST))
    assert sum(lengths) == waiting
    assert min(lengths) >= 1
    assert max(lengths) <= max(2, LONGEST / seconds + 1)


def test_slots_that_begin_later_get_fewer_calls_of_the_last_round():
    """Each call 1 ms, a message 1 ms: the slots of 12 begin within 11 ms, and end together."""
    lengths = list(chunk_lengths(0.001, 600, 12, LONGEST))
    ends = [begin + sum(lengths[begin::12]) for begin in range(12)]
    assert max(ends) - min(ends) <= 3


def test_every_slot_has_a_part_of_the_last_round():
    """Each call 10 ms: two of twelve slots that are left out would be idle for 40 ms."""
    lengths = list(chunk_lengths(0.01, 650, 12, LONGEST))
    ends = [sum(lengths[slot::12]) for slot in range(12)]
    assert max(ends) - min(ends) <= 2

"""Numbers, times and names of a report as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcml.cluster.notebook.words import count
from hpcml.commands.report.formatting import duration, memory, short_name, slurm_time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9995, "1 s"), (0.9994, "999 ms"), (0.000999, "999 µs"), (59.94, "59.9 s"), (59.96, "1 min"),
        (3599.6, "1 h"), (3661, "1 h 01 min"), (100 * 3600, "100 h"),
    ],
)  # fmt: skip
def test_a_duration_is_rounded_to_the_next_unit(seconds, text):
    assert duration(seconds) == text


@given(st.floats(0, 1e7))
def test_a_time_for_slurm_has_the_seconds_of_the_duration(seconds):
    days, _, clock = slurm_time(seconds).rpartition("-")
    hours, minutes, left = map(int, clock.split(":"))
    assert ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + left == round(seconds)


@given(st.text(min_size=1), st.integers(4, 60))
def test_a_short_name_fits_its_width(name, width):
    assert len(short_name(name, width)) <= width


def test_a_short_name_keeps_its_ends():
    assert short_name("a" * 30 + "z" * 30, 11) == "aaaaa…zzzzz"


def test_counts_and_memory_have_units():
    assert [count(number, "slot") for number in (0, 1, 12_345)] == ["0 slots", "1 slot", "12,345 slots"]
    assert [memory(megabytes) for megabytes in (0, 1023.4, 1536)] == ["?", "1023 MB", "1.5 GB"]

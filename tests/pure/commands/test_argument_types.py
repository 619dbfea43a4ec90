"""Numbers of command lines: limits, and what is none."""

import argparse

import pytest

from hpcml.commands.argument_types import seconds, whole_number


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "one", "1e3", "\u00b2"])
def test_what_is_no_whole_number_from_one_on(text):
    with pytest.raises(argparse.ArgumentTypeError, match="no whole number of 1 or more"):
        whole_number(1)(text)


@pytest.mark.parametrize("text", ["0.05", "-1", "61", "nan", "inf", "-inf"])
def test_seconds_beyond_the_limits(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"{text} is no number of seconds from 0.1 to 60"):
        seconds(0.1, 60)(text)


def test_numbers_at_the_limits():
    assert (whole_number(0)("0"), whole_number(1)("1")) == (0, 1)
    assert [seconds(0.1, 60)(text) for text in ("0.1", "60", "1e1")] == [0.1, 60, 10]

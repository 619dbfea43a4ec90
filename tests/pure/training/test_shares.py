"""Shares in proportion to speeds: their sum, their rounding, and the arguments that make no sense."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpcml.training import weighted_shares

SPEEDS = some.lists(some.floats(0, 1e9), min_size=1, max_size=20).filter(any)


@given(some.integers(0, 10_000_000), SPEEDS)
def test_shares_add_up_and_are_rounded_proportions(total, speeds):
    shares = weighted_shares(total, speeds)
    assert sum(shares) == total
    for share, speed in zip(shares, speeds, strict=True):
        assert abs(share - total * speed / math.fsum(speeds)) < 1 + 1e-9 * total
        assert speed or not share


@given(some.integers(0, 10_000), SPEEDS)
def test_a_faster_rank_gets_no_less(total, speeds):
    shares = weighted_shares(total, speeds)
    for (slower, less), (faster, more) in itertools.pairwise(sorted(zip(speeds, shares, strict=True))):
        assert slower == faster or less <= more


def test_known_shares():
    """The exact proportions of the first are 14.24, 2.41 and 4.35: the second has the largest remainder."""
    assert weighted_shares(21, [7270, 1230, 2220]) == (14, 3, 4)
    assert weighted_shares(7, [1, 1, 1]) == (3, 2, 2)
    assert weighted_shares(0, [1, 2]) == (0, 0)
    assert weighted_shares(5, [0, 2]) == (0, 5)


@pytest.mark.parametrize(("total", "speeds"), [(-1, [1]), (3, []), (3, [0, 0]), (3, [1, -1]), (3, [math.nan])])
def test_arguments_that_make_no_sense_are_refused(total, speeds):
    with pytest.raises(ValueError, match="weighted_shares"):
        weighted_shares(total, speeds)

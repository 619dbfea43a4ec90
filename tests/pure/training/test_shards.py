"""Shares of the data: every row is in one of them, whatever the numbers of rows, ranks and batches."""

import itertools
import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as some

from hpcml.training import weighted_shares
from hpcml.training.parallel.shards import scaled_rate, shard, shares_of_batches

SPEEDS = some.lists(some.floats(0, 1e9), min_size=1, max_size=20).filter(any)


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.parametrize(("rows", "batch", "size"), [*itertools.product([1, 2, 7, 100], [1, 3, 100], [1, 2, 5])])
def test_each_row_is_in_one_share_and_batches_are_those_of_one_rank(rows, batch, size):
    def of(rank, size, epoch=3, first=0):
        speeds = [1 + rank % 3 for rank in range(size)]
        shares_of = partial(weighted_shares, speeds=speeds)
        found = shares_of_batches(rows, batch, shares_of, rank=rank, seed=(1, 2), epoch=epoch, first=first)
        return [mine.tolist() for mine in found]

    whole = of(0, 1)
    shares = [of(rank, size) for rank in range(size)]
    assert [joined(parts) for parts in zip(*shares, strict=True)] == whole
    assert sorted(joined(whole)) == list(range(rows))
    assert {len(one) for one in whole[:-1]} <= {batch}
    assert of(0, size, first=1) == shares[0][1:]
    assert rows < 100 or of(0, 1, epoch=4) != whole
    parts = [list(range(rows)[shard(rows, rank, size)]) for rank in range(size)]
    assert joined(parts) == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_rates_grow_to_that_of_the_rule():
    assert scaled_rate(0.1, 32, 128, rule="sqrt") == pytest.approx(0.2)
    rates = [scaled_rate(0.1, 32, 128, step=step, warmup=10) for step in range(12)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:] == [pytest.approx(0.4)] * 2
    assert rates == sorted(rates)
    with pytest.raises(ValueError, match="rule='cube': give one of 'linear', 'sqrt'"):
        scaled_rate(0.1, 32, 128, rule="cube")


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

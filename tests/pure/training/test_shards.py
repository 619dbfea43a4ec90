"""Shares of the data: every row is in one of them, whatever the numbers of rows, ranks and batches."""

import itertools

import pytest

from hpcml.training.parallel.shards import scaled_rate, shard, shares_of_batches


def joined(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.parametrize(("rows", "batch", "size"), [*itertools.product([1, 2, 7, 100], [1, 3, 100], [1, 2, 5])])
def test_each_row_is_in_one_share_and_batches_are_those_of_one_rank(rows, batch, size):
    def of(rank, size, epoch=3, first=0):
        found = shares_of_batches(rows, batch, rank=rank, size=size, seed=(1, 2), epoch=epoch, first=first)
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

"""Grader of data-parallel training: shards, models and losses that are not those of one process fail."""

import pytest

from hpcml.commands.tutorial.graders.data_parallel import TRAINING, grade

SHARDS = [list(range(first, TRAINING, 4)) for first in range(4)]
RESULTS = {
    "quick": True,
    "ranks": [1, 2, 4],
    "losses": [[2.3] * 40] * 3,
    "shards": SHARDS,
    "digests": ["same"] * 4,
    "accuracy": 0.5,
}


def outcome(**changes):
    return {check.name: check.passed for check in grade({**RESULTS, **changes})}


@pytest.mark.parametrize("ranks", [[], [1], [1, 2], [1, 4, 2], [2, 4, 8], [1, 2, 4, 8]], ids=str)
def test_too_few_ranks_and_ranks_without_losses_are_refused(ranks):
    assert outcome(ranks=ranks) == {"numbers of ranks": False}


@pytest.mark.parametrize(
    "shards",
    [
        [],
        [[]] * 4,
        SHARDS[:3],
        [*SHARDS[:3], SHARDS[0]],
        [list(range(TRAINING))] * 4,
        [[-1, *SHARDS[0][1:]], *SHARDS[1:]],
        [SHARDS[0] + SHARDS[1], [], *SHARDS[2:]],
    ],
    ids=range(7),
)
def test_shards_with_a_digit_missing_or_twice_or_of_other_sizes_fail(shards):
    assert outcome()["shards"]
    assert not outcome(shards=shards)["shards"]


def test_other_losses_models_and_accuracies_fail():
    found = outcome(digests=["same", "same", "same", "other"])
    assert not any(passed for name, passed in found.items() if name not in ("numbers of ranks", "shards"))
    assert len(found) == 7
    assert outcome()["the same model on all ranks"]
    assert not outcome(digests=["same"])["the same model on all ranks"]

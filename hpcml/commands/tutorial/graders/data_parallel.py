"""Grader of exercise 7: trains the same model in one process, and compares each step's loss."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hpcml.commands.tutorial.checks import Check, at_least, close, same
from hpcml.commands.tutorial.results import flag, number, numbers, table, texts

if TYPE_CHECKING:
    import numpy as np

__all__ = ["FIELDS", "grade"]

FIELDS = {
    "quick": flag("whether there are few epochs, --quick"),
    "ranks": numbers("numbers of ranks that have trained: 1, 2, 4, …"),
    "losses": table("mean loss of each step's batch, for each number of ranks"),
    "shards": table("digits of the first epoch, for each of the most ranks"),
    "digests": texts("SHA-256 of the weights on each of the most ranks"),
    "accuracy": number("share of new digits that the model recognises"),
}

SEED, TRAINING, BATCH, RATE, CLASSES = 7, 1280, 256, 1.0, 10
EPOCHS = {True: 8, False: 60}
LEAST_ACCURACY = 0.9
TOLERANCE = 1e-8


def grade(results: Mapping[str, Any]) -> Iterator[Check]:
    """Yield the checks of a student's results."""
    ranks, losses = results["ranks"], results["losses"]
    hint = "four slots or more: --slots 4"
    yield same("numbers of ranks", ranks[:3] if len(losses) == len(ranks) else len(losses), [1, 2, 4], hint)
    if ranks[:3] != [1, 2, 4] or len(losses) != len(ranks):
        return
    yield _shards(results["shards"], int(ranks[-1]))
    expected, accuracy = _reference(EPOCHS[results["quick"]])
    hint = "on one rank each step is one of plain gradient descent: leave RATE, BATCH and the order as they are"
    yield close("loss on one rank", losses[0], expected, hint, tolerance=TOLERANCE)
    yield _more_ranks(losses[1:], expected, ranks[1:])
    agree = len(results["digests"]) == ranks[-1] and len(set(results["digests"])) == 1
    hint = "all ranks take the same step: sum the gradient over all ranks before it"
    yield Check("the same model on all ranks", agree, "equal weights", "others" if not agree else "these", hint)
    hint = "count on the digits from TRAINING on: the model has learned from the others"
    yield close("accuracy on new digits", [results["accuracy"]], [accuracy], hint)
    yield at_least("accuracy", results["accuracy"], LEAST_ACCURACY, "a model below this has not learned")


def _shards(shards: Sequence[Sequence[float]], ranks: int) -> Check:
    """Check that each digit of the first epoch was that of one rank, and that the ranks had as many each."""
    sizes = [len(shard) for shard in shards]
    digits = sorted(digit for shard in shards for digit in shard)
    found, twice = len(set(digits)), len(digits) - len(set(digits))
    least, most = min(sizes, default=0), max(sizes, default=0)
    even = len(shards) == ranks and most - least <= TRAINING // BATCH  # a digit of each batch
    return Check(
        "shards",
        even and digits == list(range(TRAINING)),
        f"each of {TRAINING} digits on one of {ranks} ranks, and equal shares",
        f"{found} digits, {twice} repeats of these, shares of {least} to {most}",
        "batch[comm.rank :: comm.size] is every comm.size-th digit, from another one on each rank",
    )


def _more_ranks(losses: Sequence[Sequence[float]], expected: Sequence[float], ranks: Sequence[float]) -> Check:
    """Check that the loss does not depend on the number of ranks."""
    hint = "sum over the ranks, then divide by the digits of all: means of shards add up to more"
    checks = [close("loss on more ranks", one, expected, hint, tolerance=TOLERANCE) for one in losses]
    for check, count in zip(checks, ranks, strict=True):
        if not check.passed:
            return Check(check.name, False, check.expected, f"on {count:g} ranks {check.found}", hint)
    return checks[-1]


def _reference(epochs: int) -> tuple[list[float], float]:
    """Return the loss of each step, and the accuracy on new digits, of a training in this process."""
    import numpy as np
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    mixed = np.random.default_rng(SEED).permutation(len(X))
    X, y = np.hstack([X / 16, np.ones((len(X), 1))])[mixed], y[mixed]
    weights = np.zeros((X.shape[1], CLASSES))
    losses = []
    for epoch in range(epochs):
        order = np.random.default_rng([SEED, epoch]).permutation(TRAINING)
        for first in range(0, TRAINING, BATCH):
            batch = order[first : first + BATCH]
            loss, gradient = _loss_and_gradient(weights, X[batch], y[batch])
            weights -= RATE * gradient / len(batch)
            losses.append(loss / len(batch))
    right = (X[TRAINING:] @ weights).argmax(axis=1) == y[TRAINING:]
    return losses, float(right.mean())


def _loss_and_gradient(weights: "np.ndarray", digits: "np.ndarray", y: "np.ndarray") -> tuple[float, "np.ndarray"]:
    import numpy as np

    scores = digits @ weights
    scores -= scores.max(axis=1, keepdims=True)
    shares = np.exp(scores)
    shares /= shares.sum(axis=1, keepdims=True)
    loss = -np.log(shares[np.arange(len(y)), y]).sum()
    shares[np.arange(len(y)), y] -= 1
    return float(loss), digits.T @ shares

"""Training on the ranks of mpiexec; the first argument names a function, rank 0 prints what it returns as JSON."""

import json
import logging
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

from hpcml.errors import HpcmlError
from hpcml.training import Checkpoints, DataParallel, SplitLinear, pipeline_step

STEPS, BATCH, SEED = 16, 100, 7
PER_EPOCH = 5
X = np.random.default_rng(0).normal(size=(430, 5))  # not divisible by the batch, nor by the ranks
Y = np.tanh(X @ np.arange(1.0, 6.0)) + 0.1


def gradient_of(weights, x, y):
    """Return loss and gradient of a small network, means over rows."""
    hidden = np.tanh(x @ weights["in"])
    residual = hidden @ weights["out"] - y
    back = np.outer(residual, weights["out"]) * (1 - hidden**2)
    rows = len(x)
    return 0.5 * residual @ residual / rows, {"in": x.T @ back / rows, "out": hidden.T @ residual / rows}


def new_weights(kind=np.float64):
    numbers = np.random.default_rng(1)
    return {"in": numbers.normal(size=(5, 9)).astype(kind), "out": numbers.normal(size=9).astype(kind)}


def train(comm, directory, *, steps=STEPS, kind=np.float64, noise=0.01, after_step=lambda step: None, wait=True):
    """Train with momentum, and noise of all generators; return what the last bits depend on."""
    parallel = DataParallel(comm)
    random.seed(parallel.rank)
    np.random.seed(parallel.rank)
    weights = parallel.copy_first(
        {name: value * (parallel.rank == 0) for name, value in new_weights(kind).items()}
    )
    speed, loss, count = {name: np.zeros_like(value) for name, value in weights.items()}, 0.0, 0
    with Checkpoints(directory, comm=comm) as checkpoints:
        loaded = checkpoints.load()
        if loaded:
            weights, speed, loss = loaded.state
            count = loaded.rank_state or 0
        for step in range(loaded.step if loaded else 0, steps):
            epoch, number = divmod(step, PER_EPOCH)
            mine = next(parallel.batches(len(X), BATCH, seed=SEED, epoch=epoch, first=number))
            shift = random.gauss(0, noise) + np.random.normal(scale=noise)
            x, y = (X[mine] + shift).astype(kind), Y[mine].astype(kind)
            loss, gradient = parallel.mean(gradient_of(weights, x, y), len(mine))
            for name in weights:
                speed[name] = (0.9 * speed[name] + gradient[name]).astype(kind)
                weights[name] = weights[name] - kind(0.1) * speed[name]
            count += len(mine)
            after_step(step)
            checkpoints.save((weights, speed, loss), step + 1, rank_state=count, wait=wait)
    bits = b"".join(value.tobytes() for value in (*weights.values(), *speed.values())).hex()
    return {"bits": bits, "loss": loss, "count": count, "random": [random.random(), np.random.random()]}


def gradients():
    """Compare means over ranks with those of all rows in one process."""
    parallel = DataParallel(MPI.COMM_WORLD)
    found = {}
    for kind in (np.float64, np.float32):
        weights = new_weights(kind)
        for batch, speeds in ((BATCH, None), (2, None), (BATCH, [3, 1, 2])):  # with 2, shares are empty
            errors = []
            for mine in parallel.batches(len(X), batch, seed=SEED, speeds=speeds):
                rows = np.sort(np.concatenate(MPI.COMM_WORLD.allgather(mine)))
                with np.errstate(invalid="ignore", divide="ignore"):
                    loss, gradient = parallel.mean(
                        gradient_of(weights, X[mine].astype(kind), Y[mine].astype(kind)), len(mine)
                    )
                _, expected = gradient_of(weights, X[rows].astype(kind), Y[rows].astype(kind))
                assert all(gradient[name].dtype == kind for name in gradient)
                pairs = [(gradient[name], expected[name]) for name in expected]
                errors.append(max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs))
            found[f"{kind.__name__} {batch} {speeds}"] = max(errors)
    all_rows = [mine.tolist() for mine in parallel.batches(len(X), BATCH, seed=SEED, epoch=1)]
    speeds = parallel.speeds(rows=60 * (3 - parallel.rank), seconds=2.0)
    by_speed = [mine.tolist() for mine in parallel.batches(len(X), BATCH, seed=SEED, epoch=1, speeds=speeds)]
    equal, by_speed = zip(*MPI.COMM_WORLD.allgather([all_rows, by_speed]), strict=True)
    return {"errors": found, "speeds": speeds, "equal": equal, "by_speed": by_speed}


def sums():
    """Return sums whose rounding depends on the order: from all ranks, twice, of many sizes."""
    parallel = DataParallel(MPI.COMM_WORLD)
    found = []
    for size in (0, 1, 5, 1000, 1025, 100_003):
        numbers = np.random.default_rng(parallel.rank).normal(size=size) * 10.0 ** (8 * parallel.rank)
        means = [parallel.mean(numbers, 1 + parallel.rank).tobytes() for _ in range(2)]
        exact = sum(
            np.random.default_rng(rank).normal(size=size) * 10.0 ** (8 * rank) * (1 + rank)
            for rank in range(parallel.size)
        ) / sum(range(1, parallel.size + 1))
        assert np.allclose(np.frombuffer(means[0]), exact, rtol=1e-12, atol=0)
        found.append(len({*MPI.COMM_WORLD.allgather(means[0]), *means}))
    mixed = {"half": np.float16([1.5, 2]), "loss": 2.0, "hits": 3, "flag": np.float32(1), "all": (np.arange(2),)}
    mean = parallel.mean(mixed, 2)
    types = [mean["half"].dtype.name, type(mean["loss"]).__name__, type(mean["hits"]).__name__]
    return {"kinds": found, "types": [*types, type(mean["flag"]).__name__, mean["all"][0].dtype.name]}


def resumed():
    """Train without a break; resume that from other steps; and go on with fewer ranks."""
    world, place = MPI.COMM_WORLD, Path(sys.argv[2])
    whole = train(world, place / "whole")
    logging.getLogger("hpcml").disabled = True  # damage, and other ranks, are not to be seen here
    again = []
    for damaged in (0, 1, 2):
        if world.rank == 0:
            for version in Checkpoints(place / "whole", comm=MPI.COMM_SELF).versions()[:damaged]:
                (version / "state.npy").write_bytes(b"")
        world.Barrier()
        again.append(train(world, place / "whole", wait=False))
    losses = [train(world, place / "fewer", noise=0.0, steps=STEPS // 2)["loss"]]
    few = world.Split(int(world.rank < 2))
    if world.rank < 2:
        losses.append(train(few, place / "fewer", noise=0.0)["loss"])
    losses.append(train(MPI.COMM_SELF, place / f"alone-{world.rank}", noise=0.0)["loss"])
    return {
        "equal": world.allgather([one == whole for one in again]),
        "same_on_all": len(set(world.allgather(whole["bits"]))),
        "counts": world.allgather(whole["count"]),
        "losses": losses,
    }


def killed():
    """Train; the last rank kills itself in a step, or in a save after that, once for each line of a file."""
    place = Path(sys.argv[2])
    kills = (place / "kills").read_text().split()

    def end(step):
        if MPI.COMM_WORLD.rank == MPI.COMM_WORLD.size - 1 and kills and step == int(kills[0].strip("s")):
            (place / "kills").write_text("\n".join(kills[1:]))
            if kills[0].endswith("s"):
                os.fsync = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    return train(MPI.COMM_WORLD, place / "killed", after_step=end)


class Steps:
    """Linear model whose partial_fit is one step of gradient descent."""

    def partial_fit(self, x, y, rate=0.1):
        if not hasattr(self, "coef_"):
            self.coef_, self.intercept_ = np.zeros(x.shape[1]), np.zeros(1)
        residual = x @ self.coef_ + self.intercept_ - y
        self.coef_ -= rate * x.T @ residual / len(y)
        self.intercept_ -= rate * residual.mean()


def estimators():
    """Fit with shares of each batch and with whole batches."""
    parallel, one_rank = DataParallel(MPI.COMM_WORLD), DataParallel(MPI.COMM_SELF)
    shared, whole = Steps(), Steps()
    for epoch in range(3):
        batches = zip(
            *(one.batches(len(X), BATCH, seed=1, epoch=epoch) for one in (parallel, one_rank)), strict=True
        )
        for mine, rows in batches:
            parallel.partial_fit(shared, X[mine], Y[mine], rate=0.2)
            one_rank.partial_fit(whole, X[rows], Y[rows], rate=0.2)
    parallel.partial_fit(shared, X[: parallel.rank], Y[: parallel.rank], rate=0.0)  # none on rank 0
    try:
        parallel.partial_fit(type("Counts", (), {"partial_fit": lambda *_: None})(), X)
    except TypeError as error:
        text = str(error)
    from scipy.sparse import csr_array
    from sklearn.linear_model import SGDRegressor

    model = {"random_state": 0, "fit_intercept": False}  # of sparse data it makes smaller steps with the intercept
    dense, sparse = (
        parallel.partial_fit(SGDRegressor(**model), kind(X[mine]), Y[mine]) for kind in (np.array, csr_array)
    )
    try:
        parallel.partial_fit(SGDRegressor(average=True), X, Y)
    except TypeError as error:
        text += str(error)
    error = float(np.abs(shared.coef_ - whole.coef_).max())
    return {"error": error, "sparse": float(np.abs(dense.coef_ - sparse.coef_).max()), "text": text}


def copies():
    """Copy arrays of any order from rank 0."""
    numbers = np.arange(6.0).reshape(2, 3) + 10 * MPI.COMM_WORLD.rank
    model = {"c": numbers, "f": np.asfortranarray(numbers), "t": numbers.T, "step": numbers[:, ::2]}
    model["one"] = numbers[0, 0]
    found = DataParallel(MPI.COMM_WORLD).copy_first(model)
    return MPI.COMM_WORLD.allgather({name: np.asarray(value).tolist() for name, value in found.items()})


def divided():
    """Compare gradients of models that are divided among ranks with those of the whole model on each rank."""
    world, numbers = MPI.COMM_WORLD, np.random.default_rng(8)
    shapes = [(5, 11), (11, 7), (7, 3)]
    weights = [(numbers.normal(size=shape), numbers.normal(size=shape[1])) for shape in shapes]
    x, y = numbers.normal(size=(20, 5)), numbers.normal(size=(20, 3))

    def through(layers):
        """Return a layer of layers, with tanh after each but those that are alone."""

        def layer(x):
            backs = []
            for one in layers:
                x, back = one(x)
                x = np.tanh(x)
                backs.append((back, x))
            return x, lambda gradient: backwards(backs, gradient)

        return layer

    def backwards(backs, gradient):
        found = []
        for back, output in reversed(backs):
            gradient, of_weights = back(gradient * (1 - output**2))
            found.insert(0, of_weights)
        return gradient, found

    def squares(output, target):
        return 0.5 * ((output - target) ** 2).sum() / len(target), (output - target) / len(target)

    whole = through([SplitLinear(w, b) for w, b in weights])
    output, back = whole(x)
    loss, gradient = squares(output, y)
    of_x, expected = back(gradient)

    parts = [SplitLinear(*weights[0], world, "columns"), SplitLinear(*weights[1], world, "rows")]
    parts.append(SplitLinear(*weights[2]))
    split_output, back = through(parts)(x)
    split_of_x, found = back(gradient)
    errors = [np.abs(split_output - output).max(), np.abs(split_of_x - of_x).max()]
    columns = np.concatenate(world.allgather(found[0]["weights"]), axis=1)
    rows = np.concatenate(world.allgather(found[1]["weights"]), axis=0)
    errors += [np.abs(columns - expected[0]["weights"]).max(), np.abs(rows - expected[1]["weights"]).max()]
    errors += [np.abs(np.concatenate(world.allgather(found[0]["bias"])) - expected[0]["bias"]).max()]
    errors += [np.abs(found[1]["bias"] - expected[1]["bias"]).max()]

    stages = [[0], [1], [2]] if world.size == 3 else [[0, 1], [2]]
    layer = through([SplitLinear(*weights[number]) for number in stages[world.rank]])
    cuts = [slice(0, 6), slice(6, 12), slice(12, 20)]  # of different sizes
    piped, of_stage = pipeline_step(
        layer, world, [x[cut] for cut in cuts], lambda n, out: squares(out, y[cuts[n]])
    )
    errors += [abs(piped - loss)]
    for number, one in zip(stages[world.rank], of_stage, strict=True):
        errors += [np.abs(one[name] - expected[number][name]).max() for name in ("weights", "bias")]
    return float(max(world.allgather(max(errors))))


def mistakes():
    """Return the messages for mistakes on one rank, from all ranks."""
    world, place = MPI.COMM_WORLD, Path(sys.argv[2])
    parallel = DataParallel(world)
    found = []

    def seen(call):
        try:
            call()
        except (HpcmlError, ValueError, OSError) as error:
            found.append(f"{type(error).__name__}: {error}")
        else:
            found.append("")

    last = world.rank == world.size - 1
    seen(lambda: parallel.mean({"a": np.ones(3 + last)}, 1))
    seen(lambda: parallel.mean(1.0, 0))
    seen(DataParallel)
    with Checkpoints(place, comm=world) as checkpoints:
        seen(lambda: checkpoints.save({}, 1, rank_state={"x": object()} if last else None))
        seen(lambda: checkpoints.save({}, 1))
        with checkpoints.new(2) as directory:
            (directory / f"of-{world.rank}").write_text(str(world.rank))
        loaded = checkpoints.load()
        names = [path.name for path in sorted(loaded.directory.iterdir())]
        if world.rank == 0:
            (loaded.directory / f"of-{world.size - 1}").write_text("changed")
        world.Barrier()
        loaded = checkpoints.load()
    world.Barrier()
    seen(lambda: Checkpoints("/proc/none", comm=world))
    seen(lambda: parallel.batches(9, 3, seed=1, speeds=[1, 2]))
    return {"found": world.allgather(found), "names": names, "step": loaded.step}


if __name__ == "__main__":
    result = {name: function for name, function in globals().items() if callable(function)}[sys.argv[1]]()
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(result))

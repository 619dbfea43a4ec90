"""Tensors, modules and their state are sent to tasks and back, and are recognised when a run is resumed."""

import copy

import numpy as np
import pytest
from joblib import Parallel, delayed

import hpcml

torch = pytest.importorskip("torch", reason="torch is not installed: make test-torch")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", params=["local", "ipyparallel"])
def cluster(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    with hpcml.Cluster(request.param, slots_per_node=2, run_dir=place, progress=False) as opened:
        yield opened


class Net(torch.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.hidden = torch.nn.Linear(4, width)
        self.out = torch.nn.Linear(width, 1)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x):
        self.seen += 1
        return self.out(torch.relu(self.hidden(x)))


def net(width=3):
    torch.manual_seed(width)
    return Net(width)


def train(model, x, y, steps=3):
    """Return the state after a few steps, and the losses."""
    torch.set_num_threads(1)
    best = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(steps):
        best.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        best.step()
        losses.append(float(loss.detach()))
    return model.state_dict(), losses


def same(found, expected):
    """Compare structures of tensors: types, dtypes, values."""
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert found.requires_grad == expected.requires_grad
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected


def give(x):
    return x


def batch(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(8, 4, generator=generator)
    return x, x.sum(1, keepdim=True)


TENSORS = {
    "float": lambda: torch.arange(6.0).reshape(2, 3),
    "half": lambda: torch.ones(3, dtype=torch.bfloat16),
    "integer": lambda: torch.arange(3, dtype=torch.int8),
    "view": lambda: torch.arange(12.0).reshape(3, 4)[:, ::2],
    "gradient": lambda: torch.ones(2, requires_grad=True),
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "large": lambda: torch.arange(300_000.0),
    "shared": lambda: [torch.ones(2)] * 2,
    "state": lambda: dict(net().state_dict()),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_arrive_equal(name, cluster):
    tensor = TENSORS[name]()
    found = list(cluster.map(give, [tensor] * 3))
    for one in found:
        same(one, tensor)
    if name == "shared":
        assert all(one[0] is one[1] for one in found)


def test_training_gives_the_same_as_in_this_process(cluster):
    widths = range(2, 8)
    expected = [train(net(width), *batch(width)) for width in widths]
    found = cluster.map(train, map(net, widths), *zip(*map(batch, widths), strict=True))
    same(list(found), expected)
    given = Parallel(n_jobs=2, backend="hpcml")(delayed(train)(net(width), *batch(width)) for width in widths)
    same(given, expected)


def test_each_task_has_its_own_copy_of_a_module(cluster):
    model = net()
    before = copy.deepcopy(model.state_dict())
    x, y = batch(0)
    expected = train(copy.deepcopy(model), x, y)
    for found in cluster.map(train, [model] * 60, [x] * 60, [y] * 60):
        same(found, expected)
    same(model.state_dict(), before)


def noted(x, log):
    """Write a line to a file, and return the sum of all numbers."""
    with open(log, "a") as file:
        file.write("run\n")
    held = x.state_dict() if isinstance(x, torch.nn.Module) else x
    parts = held.values() if isinstance(held, dict) else [held]
    return float(sum(part.detach().double().sum() for part in parts))


def test_a_resumed_run_recognises_tensors_and_modules(tmp_path):
    log = tmp_path / "log"
    settings = {"slots_per_node": 2, "progress": False}
    values = []
    for changed in (False, False, True):
        inputs = [torch.arange(6.0), net(), net(4).state_dict(), torch.nn.Parameter(torch.ones(3)), np.ones(2)]
        if changed:
            inputs[0][2] = 7.0
            with torch.no_grad():
                inputs[1].out.bias += 1
        resume = next(tmp_path.glob("runs/2*"), False)
        with hpcml.Cluster("local", run_dir=tmp_path / "runs", resume=resume, **settings) as cluster:
            values.append(list(cluster.map(noted_or_sum, inputs, [str(log)] * 5)))
        values[-1].append(len(log.read_text().split()))
    assert values[1] == values[0]
    assert values[0][-1] == 5
    assert values[2][-1] == 7, "two inputs were changed"
    assert values[2][2:5] == values[0][2:5]
    assert values[2][0] == values[0][0] + 5
    assert values[2][1] == pytest.approx(values[0][1] + 1)


def noted_or_sum(x, log):
    return noted(torch.from_numpy(x) if isinstance(x, np.ndarray) else x, log)

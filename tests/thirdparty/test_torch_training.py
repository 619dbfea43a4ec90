"""Checkpoints of torch's modules and optimizers, and their gradients averaged over ranks."""

import copy
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient

from hpcml.errors import HpcmlError
from hpcml.training import Checkpoints

torch = pytest.importorskip("torch", reason="torch is not installed: make test-torch")
pytestmark = pytest.mark.filterwarnings("ignore")

PROGRAM = Path(__file__).parent / "torch_ranks.py"


def on_ranks(directory, name, ranks):
    """Return what rank 0 prints."""
    processes = []
    for rank in range(ranks):
        variables = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1"}
        words = [sys.executable, PROGRAM, directory, name]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(words, env={**os.environ, **variables}, **pipes))
    try:
        ends = [process.communicate(timeout=patient(100)) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * ranks, [error for _, error in ends]
    return json.loads(ends[0][0])


def test_a_resumed_training_on_three_ranks_has_the_same_bits(tmp_path):
    ends = on_ranks(tmp_path, "resumed", 3)
    assert [whole == parts for whole, parts in ends] == [True] * 3
    assert len({whole[0] for whole, _ in ends}) == 1, "all ranks have the same weights"


def test_gradients_equal_those_of_all_rows(tmp_path):
    found = on_ranks(tmp_path, "gradients", 3)
    errors = found["errors"]
    assert errors["torch.float64"] < 1e-12
    assert errors["torch.float32"] < 1e-6
    assert errors["torch.bfloat16"] < 0.05
    assert found["has"] == [True] * 6, "a gradient that one rank has is there on all"
    assert found["loss"] == pytest.approx(2.0)


@pytest.mark.skipif(
    shutil.which("mpiexec") is None or importlib.util.find_spec("mpi4py") is None,
    reason="there is no mpiexec, or no mpi4py",
)
def test_a_module_in_half_precision_is_copied_over_mpi():
    program = Path(__file__).parent / "training_programs/copied_half.py"
    words = ["mpiexec", "--allow-run-as-root", "--oversubscribe", "-n", "2", sys.executable, str(program)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=patient(60), check=True)
    assert done.stdout == "[1.0] [0.5]\n" * 2


def test_versions_hold_what_torch_distributed_checkpoint_writes(tmp_path):
    assert on_ranks(tmp_path, "sharded", 3) == {"files": 4}
    newest = Checkpoints(tmp_path).versions()[0]
    (newest / "files" / "__1_0.distcp").write_bytes(b"")
    assert on_ranks(tmp_path, "sharded", 2) == {"equal": True, "step": 1, "ranks": 3, "epoch": 3}


TENSORS = {
    "half": lambda: torch.tensor([0.1, 2.0], dtype=torch.bfloat16),
    "eighth": lambda: torch.tensor([0.5, 2.0]).to(torch.float8_e4m3fn),
    "scalar": lambda: torch.tensor(3),
    "empty": lambda: torch.zeros(0, 3),
    "view": lambda: torch.arange(12.0).reshape(3, 4)[:, ::2].T,
    "complex": lambda: torch.tensor([1 + 2j]).conj(),
    "parameter": lambda: torch.nn.Parameter(torch.ones(2)),
    "flags": lambda: torch.tensor([True, False]),
}


@pytest.mark.parametrize("wait", [True, False])
def test_tensors_are_loaded_as_they_were_saved(wait, tmp_path):
    expected = {name: make() for name, make in TENSORS.items()}
    given = copy.deepcopy(expected)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(given, 1, wait=wait)
        with torch.no_grad():
            given["parameter"] += 1
        found = checkpoints.load().state
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].requires_grad == tensor.requires_grad
        assert torch.equal(found[name].to(torch.complex64), tensor.to(torch.complex64)), name


def test_states_of_modules_and_optimizers(tmp_path):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters(), amsgrad=True)
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(
            HpcmlError, match=r"state\['model'\] is Sequential .* give what its state_dict\(\) returns"
        ):
            checkpoints.save({"model": model}, 1)
        with pytest.raises(HpcmlError, match=r"state\[0\] is a tensor that is torch.sparse_coo on cpu"):
            checkpoints.save([torch.eye(2).to_sparse()], 1)
        checkpoints.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, 1)
        random = torch.rand(3)
        state = checkpoints.load().state
        assert torch.equal(torch.rand(3), random)
    other = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    other.load_state_dict(state["model"])
    again = torch.optim.AdamW(other.parameters())
    again.load_state_dict(state["optimizer"])
    assert again.param_groups[0]["amsgrad"]
    for one, same in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(one, same)
    assert str(again.state_dict()) == str(optimizer.state_dict())


def test_a_checkpoint_with_tensors_says_what_it_needs(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(torch.ones(2), 1)
    code = (
        "import sys; sys.modules['torch'] = None\nfrom hpcml.training import Checkpoints\n"
        "Checkpoints(sys.argv[1]).load()"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert "holds tensors, and torch is not installed here: " in done.stderr

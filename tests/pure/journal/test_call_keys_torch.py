"""Keys of torch's objects, and of a library whose version is an object of its own string class."""

import importlib.util
import json
import os
import subprocess
import sys
import types

import pytest

from hpcml.data import code_versions as sources
from hpcml.data import libraries
from hpcml.journal.call_keys import CallKeys

PROGRAM = r"""
import copy, json, sys
import torch
from hpcml.journal.call_keys import CallKeys

def key(thing):
    return CallKeys().digest(thing)

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
optimizer = torch.optim.Adam(net.parameters())
net(torch.ones(2, 3)).sum().backward()
optimizer.step()
t = torch.arange(6.0).reshape(2, 3)
things = {
    "tensor": t, "transposed": t.T, "part": t[1], "half": t.bfloat16(), "integers": t.int(), "booleans": t > 2,
    "scalar": torch.tensor(3.0), "empty": torch.empty(0), "complex": t * 1j, "conjugate": (t * 1j).conj(),
    "parameter": torch.nn.Parameter(t.clone()), "with gradient": t.clone().requires_grad_(), "module": net,
    "state": net.state_dict(), "optimizer": optimizer, "its state": optimizer.state_dict(), "dtype": torch.float32,
    "device": torch.device("cpu"), "sparse": t.to_sparse(), "csr": t.to_sparse_csr(), "shape": t.shape,
    "storage": t.untyped_storage(), "generator": torch.Generator().manual_seed(3), "array": t.numpy(),
    "function": torch.nn.functional.relu, "data": torch.utils.data.TensorDataset(t, t),
    "lambda": lambda x: torch.relu(x), "one twice": [t, t], "two": [t, t.clone()],
}
keys = {name: key(thing) for name, thing in things.items()}
assert len(set(keys.values())) == len(keys)
for name, thing in things.items():
    if name not in ("csr", "conjugate"):  # torch cannot copy the one, and makes another of the other
        assert key(copy.deepcopy(thing)) == keys[name], name
before = key(net.state_dict())
with torch.no_grad():
    net[2].bias += 1e-6
assert key(net.state_dict()) != before and key(net) != keys["module"]
print(json.dumps(keys))
"""


def test_keys_of_torchs_objects_follow_their_content(tmp_path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed: make test-torch")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    found = []
    for seed in ("1", "2"):
        command = [sys.executable, "-W", "ignore", str(program)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]


def test_a_version_of_the_librarys_own_string_class_is_in_the_key(tmp_path, monkeypatch):
    """The class is in a module of the library, whose version is again such a string."""

    def make(text):
        library = types.ModuleType("peculiar")
        library.__file__ = str(tmp_path / "site-packages" / "peculiar.py")

        class Version(str):
            __module__, __qualname__, __slots__ = "peculiar", "Version", ()

        library.Version = Version
        library.__version__ = Version(text)

        def f(x):
            return x

        f.__module__ = "peculiar"
        f.__qualname__ = "f"
        library.f = f
        monkeypatch.setitem(sys.modules, "peculiar", library)
        sources._digests.clear()
        libraries.version.cache_clear()
        return CallKeys().digest(library.f), CallKeys().digest((library.__version__, [1]))

    assert make("1.0") == make("1.0")
    assert not set(make("1.0")) & set(make("2.0"))

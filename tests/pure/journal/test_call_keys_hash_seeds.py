"""Keys under different hash seeds: sets, graphs of sets, and broadcast handles."""

import json
import os
import subprocess
import sys

PROGRAM = r"""
import json, sys
import hpcml
from hpcml.journal.call_keys import CallKeys

class Words(set):
    def __init__(self, words=(), owner=None):
        super().__init__(words)
        self.owner = owner

class Frozen(frozenset):
    pass

class Node:
    def __init__(self, name):
        self.name, self.near = name, set()

class Held:
    def __init__(self, n):
        self.n = n

nodes = [Node(name) for name in "abcd"]
for one in nodes:
    one.near.update(other for other in nodes if other is not one)
names = [f"word {n}" for n in range(30)]
things = {
    "set": Words(names, "me"), "frozen": Frozen(names), "in a list": [Words(names), {"a": Frozen(names)}],
    "sets of sets": {frozenset(names), frozenset(names[3:])}, "graph": nodes, "long": 10 ** 5000,
    "long in a list": [10 ** 5000, {"a": -(10 ** 5000)}],
}
keys = {name: CallKeys().digest(thing) for name, thing in things.items()}
keys["a call"] = CallKeys().call_digest(CallKeys().object_digest(len), (10 ** 5000, "a"), {}).digest
with hpcml.Cluster(engine="local", slots_per_node=1, progress=False, run_dir="runs") as cluster:
    with cluster.broadcast([Held(n) for n in range(3)]) as handle, cluster.broadcast([Held(4)]) as other:
        keys["broadcast"], keys["another"] = CallKeys().digest((handle,)), CallKeys().digest((other,))
assert len(set(keys.values())) == len(keys), keys
print(json.dumps(keys))
"""


def test_keys_are_the_same_under_every_hash_seed(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    found = []
    for seed in "123":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "program.py"]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout))
    assert found[0] == found[1] == found[2]

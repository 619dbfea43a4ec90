"""Classes of the script with slots, which cloudpickle alone would rebuild without them."""

import subprocess
import sys

import pytest
from engines import ENGINES
from patience import patient

SCRIPT = """
import dataclasses, sys
import hpcml

class Point:
    __slots__ = ("x", "__hidden")
    def __init__(self, x): self.x, self.__hidden = x, -x
    def both(self): return self.x, self.__hidden

class Child(Point):
    __slots__ = ()

class Open(Point):
    pass

@dataclasses.dataclass(slots=True)
class Data:
    n: int
    rows: list = dataclasses.field(default_factory=list)

def work(thing):
    found = [hasattr(thing, "__dict__"), type(thing).__name__]
    if isinstance(thing, Point):
        found.append(thing.both())
    return thing, found

things = [Point(1), Child(2), Open(3), Data(4, [5])]
with hpcml.Cluster(sys.argv[1], slots_per_node=2, progress=False, journal=False) as cluster:
    returned = list(cluster.map(work, things))
for thing, (back, found) in zip(things, returned):
    same = type(back) is type(thing)
    print(*found, same, hasattr(back, "__dict__"), back.both() if isinstance(back, Point) else back)
print([found for _, found in returned] == [work(thing)[1] for thing in things])
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_instances_have_their_slots_and_no_more(engine, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), engine]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=patient(100), check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "False Point (1, -1) True False (1, -1)",
        "False Child (2, -2) True False (2, -2)",
        "True Open (3, -3) True True (3, -3)",
        "False Data True False Data(n=4, rows=[5])",
        "True",
    ]

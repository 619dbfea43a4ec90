"""A Cluster in a notebook: its display, bars in their cells, interrupted cells, changed functions, its end."""

import os
import re
import signal

import pytest
from notebooks import displays, error, opened, printed, value
from patience import wait_until

SETUP = """
import os, pathlib, time, hpcml
cluster = hpcml.Cluster(engine="local", slots_per_node=2)
def begun(name, seconds=600):
    pathlib.Path(name).touch()
    time.sleep(seconds)
    return name
cluster
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def notebook(directory):
    with opened(directory, JPY_SESSION_NAME="/home/u/of sines.ipynb") as notebook:
        notebook.first = notebook.run(SETUP)
        yield notebook


def children(process):
    """Return the directories in /proc of the processes that a process has started."""
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [f"/proc/{child}" for child in file.read().split()]


def test_the_display_of_a_cluster_is_updated(notebook):
    assert printed(notebook.first, "stderr").count("\n") == 1, "the line with the engine, and no warning"
    assert re.match(
        r"<hpcml.Cluster: 2 slots \(2 on .*\), this computer, engine local", displays(notebook.first)[0]
    )
    notebook.run("mapped = cluster.map(begun, [f'shown{n}' for n in range(8)], [1.3] * 8)")
    notebook.run("time.sleep(1.2)")
    assert "2 running, " in displays(notebook.first)[0]
    notebook.run("list(mapped); time.sleep(1.2)")
    assert "tasks: 8 done>" in displays(notebook.first)[0]
    assert "8 done" in displays(notebook.first, "text/html")[0]


def test_each_call_has_its_own_bar_in_its_own_cell(notebook):
    define = "def nap(seconds):\n    time.sleep(seconds)\n"
    first = notebook.run(define + "for _ in range(2): list(cluster.map(nap, [0.1] * 10))")
    second = notebook.run("from joblib import Parallel, delayed, parallel_config\nwith parallel_config('hpcml'):\n"
                          "    Parallel(n_jobs=-1)(delayed(nap)(0.2) for _ in range(8))")  # fmt: skip
    third = notebook.run("[one.result() for one in [cluster.submit(nap, 0.2) for _ in range(6)]]")
    ((one, other),) = (text.splitlines() for text in displays(first))
    assert [line.startswith("nap: 10 of 10 tasks") for line in (one, other)] == [True, True]
    assert displays(second)[0].startswith("Parallel: 8 of 8 tasks")
    assert displays(third)[0].startswith("nap: 6 of 6 tasks")
    assert 'max="10"' in displays(first, "text/html")[0]
    assert not any(printed(cell, "stderr") for cell in (first, second, third))


def test_calls_that_end_at_once_have_no_bar(notebook):
    assert not displays(notebook.run("list(cluster.map(abs, range(4)))"))


INTERRUPTED = {
    "map": "list(cluster.map(begun, [f'map{n}' for n in range(9)]))",
    "joblib": "with parallel_config('hpcml'):\n"
    "    Parallel(n_jobs=-1)(delayed(begun)(f'joblib{n}') for n in range(9))",
    "result": "futures = [cluster.submit(begun, f'result{n}') for n in range(9)]\n"
    "import threading; threading.Timer(1, pathlib.Path('all-result').touch).start()\nfutures[0].result()",
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_an_interrupted_cell_frees_the_slots(notebook, directory, name):
    notebook.run(f"kept = cluster.submit(begun, 'kept-{name}', 2.0)")
    wait_until((directory / f"kept-{name}").exists)
    begun = [directory / f"{name}0"] + [directory / "all-result"] * (name == "result")
    cell = notebook.run(INTERRUPTED[name], interrupt=lambda: all(path.exists() for path in begun))
    assert error(cell) == "KeyboardInterrupt"
    assert value(notebook.run("list(cluster.map(abs, [-1] * 4))")) == "[1, 1, 1, 1]"
    assert value(notebook.run("kept.result()")) == f"'kept-{name}'", "the call of another cell goes on"
    if name == "result":
        assert value(notebook.run("[future.cancelled() for future in futures[2:]]")) == str([True] * 7)
        assert error(notebook.run("futures[0].result()")) == "TaskError"


SCRIPT = """
class Word:
    def __init__(self, n):
        self.text = n * "w"

def ran(n):
    return ["%run", n, Word(n).text]
"""


def test_functions_and_classes_are_those_of_the_last_definition(notebook, directory):
    (directory / "script.py").write_text(SCRIPT)
    for factor in (2, 3):
        notebook.run(f"class Box:\n    factor = {factor}\n    def __init__(self, n): self.n = n * self.factor\n"
                     f"def scaled(n): return Box({factor} * n)")  # fmt: skip
        cell = notebook.run("boxes = list(cluster.map(scaled, [1, 10]))\n"
                            "[box.n for box in boxes], {type(box) is Box for box in boxes}")  # fmt: skip
        assert value(cell) == str(([factor**2, 10 * factor**2], {True}))
    cell = notebook.run("%run script.py\nlist(cluster.map(ran, [2]))")
    assert value(cell) == "[['%run', 2, 'ww']]"


def test_a_thread_and_the_running_loop_use_the_cluster(notebook):
    code = """
import asyncio, threading
async def doubled(n): return await asyncio.get_running_loop().run_in_executor(cluster, pow, n, 2)
found = await asyncio.gather(*map(doubled, range(4)))
thread = threading.Thread(target=lambda: found.extend(cluster.map(abs, [-7])))
thread.start(); thread.join()
found
"""
    assert value(notebook.run(code)) == "[0, 1, 4, 9, 7]"


def test_a_notebook_resumes_its_own_run(notebook, directory):
    code = """
def slow(n):
    open("ran", "a").write(f"{n}\\n")
    return n + 1
with hpcml.Cluster(engine="local", slots_per_node=1, resume=True, run_dir="runs") as other:
    found = list(other.map(slow, range(3)))
found
"""
    ran = []
    for changed in (code, code, code.replace("n + 1", "n + 2"), code):
        assert value(notebook.run(changed)) == ("[1, 2, 3]" if changed is code else "[2, 3, 4]")
        ran.append(len((directory / "ran").read_text().splitlines()))
    assert ran == [3, 3, 6, 6]
    notes = [path.name for path in (directory / "runs").glob("last-*")]
    assert [name.startswith("last-of sines-") for name in notes] == [True]


def test_a_cluster_of_an_earlier_cell_is_noted(notebook):
    cell = notebook.run("one_more = hpcml.Cluster(engine='local', slots_per_node=1)")
    assert "a Cluster of an earlier cell is open as well" in printed(cell, "stderr")
    cell = notebook.run("one_more.shutdown()\nlist(cluster.map(abs, [-1]))")
    assert value(cell) == "[1]"


def shown(cell):
    """Return what engines have printed, in the order of their numbers."""
    return sorted(text.strip() for text in displays(cell))


def test_what_engines_print_is_shown_in_the_cell(notebook):
    notebook.run("other = hpcml.Cluster('ipyparallel', slots_per_node=2)\nview = other.client[:]\n"
                 "view.block = True\nview.activate()")  # fmt: skip
    assert shown(notebook.run("%%px\nprint('from', 'px')")) == ["[stdout:0] from px", "[stdout:1] from px"]
    cell = notebook.run("view.execute('print(2 * 3)', block=True).display_outputs()")
    assert printed(cell).split() == ["[stdout:0]", "6", "[stdout:1]", "6"]
    notebook.run("%autopx")
    assert shown(notebook.run("inside = 5\nprint('auto')")) == ["[stdout:0] auto", "[stdout:1] auto"]
    notebook.run("%autopx")
    assert value(notebook.run("view.pull('inside', block=True)")) == "[5, 5]"
    assert error(notebook.run("%px 1 / 0")) == "AlreadyDisplayedError"
    assert value(notebook.run("list(other.map(abs, [-1, -2]))")) == "[1, 2]"
    assert not error(notebook.run("other.shutdown()"))


@pytest.mark.parametrize("end", ["restart", "kill"])
def test_no_worker_outlives_its_kernel(notebook, directory, end):
    notebook.run(f"future = cluster.submit(begun, '{end}')")
    wait_until((directory / end).exists)
    workers = children(notebook.kernel_id)
    assert len(workers) >= 2
    if end == "kill":
        os.kill(notebook.kernel_id, signal.SIGKILL)
    else:
        notebook.restart()
    wait_until(lambda: not any(map(os.path.exists, workers)))
    if end == "restart":
        notebook.run(SETUP)

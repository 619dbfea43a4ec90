"""Programs written for ipyparallel, unchanged under `hpcml run`: without Slurm, on engines of this computer."""

import os
import subprocess
import sys

from original_programs import ORIGINAL, assert_clusters_of_one_process, assert_scores_of_one_process
from patience import patient

# Under pytest ipykernel leaves the descriptors of an engine's streams alone.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTEST_"))}


def run(directory, *words, status=0, options=("--quiet", "--slots-per-node", "2")):
    """Run a program under `hpcml run` in `directory`; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", "hpcml", "run", *options, *map(str, words)],
        cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, timeout=patient(100), check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def test_the_schools_grid_search_equals_one_process(tmp_path):
    done = run(tmp_path, ORIGINAL / "digits.py", "--quick", "-p", "job_17")
    accuracy = assert_scores_of_one_process(tmp_path)
    assert f"accuracy {accuracy:.3f} on new digits" in done.stdout


def test_the_schools_clustering_equals_one_process(tmp_path):
    done = run(tmp_path, ORIGINAL / "kmeans.py", "--quick", "-p", "job_17")
    assert_clusters_of_one_process(tmp_path)
    assert "engines 2\nclusters 7, " in done.stdout


VIEWS = """
import glob, os, sys, time
import ipyparallel as ipp

def nap():
    open(f"asleep-{os.getpid()}", "w").close()
    time.sleep(1000)
def speak(n):
    print("view", n); print("error", n, file=sys.stderr); os.system("echo child"); return n
def fails(n): return 1 // n
def task(n): print("task"); os.system("echo child of task"); return n

rc = ipp.Client(profile="any")
view = rc[:]
assert isinstance(rc, ipp.Client) and len(rc) == 2 and ipp.Client(cluster_id="other").ids == rc.ids

said = view.execute("print('cell')\\n6 * 7", silent=False, block=True)
print("execute", said.stdout, [one["execute_result"]["data"]["text/plain"] for one in said.metadata])
view.execute("import os, sys")
said = view.apply_async(speak, 3)
said.wait_for_output()
print("apply", said.get(), [sorted(text.split("\\n")) for text in said.stdout], said.stderr)

view.push({"a": 5}); view.scatter("part", list(range(6)))
print("pull", view["a"], view.gather("part", block=True), view.pull("part", block=True))
balanced = rc.load_balanced_view()
print("map", balanced.map_async(lambda n: n * n, range(5)).get(), list(rc.executor().map(abs, [-1, -2])))
try: balanced.apply_sync(fails, 0)
except ipp.RemoteError as error: print("remote", error.ename)

import hpcml
from joblib import Parallel, delayed, parallel_config
ipp.register_joblib_backend()
with parallel_config("ipyparallel"):
    print("joblib", Parallel()(delayed(task)(n) for n in range(3)))
    try: Parallel()(delayed(fails)(n) for n in range(1))
    except ZeroDivisionError as error: print("original", error)
print("frames", list(hpcml.Cluster().map(task, range(2))))
said = view.apply_async(speak, 4)
said.wait_for_output()
print("view again", said.get(), said.stdout[0].count("child"))

view.execute("import time")
sleeping = view.apply_async(nap)
while len(glob.glob("asleep-*")) < 2: time.sleep(0.05)
rc.send_signal("SIGINT", block=True)
try: sleeping.get()
except ipp.error.CompositeError as error: print("interrupted", error.elist[0][0])

with ipp.Cluster(n=2) as other:
    print("cluster", other[:].apply_sync(os.getpid) == view.apply_sync(os.getpid))
try: ipp.Cluster(n=3).start_and_connect_sync()
except hpcml.EngineError as error: print("too many", error)
ipp.Client().close()
before = view.apply_sync(os.getpid)
rc.shutdown(hub=True, block=True)
print("shut down", ipp.Client()[:].apply_sync(os.getpid) == before, list(hpcml.Cluster().map(abs, [-7])))
"""


def test_views_executors_and_joblib(tmp_path):
    (tmp_path / "views.py").write_text(VIEWS)
    done = run(tmp_path, "views.py")
    assert "Traceback" not in done.stderr
    printed = [line for line in done.stdout.splitlines() if not line.startswith("[")]
    assert printed == [
        "execute ['cell\\n', 'cell\\n'] ['42', '42']",
        "apply [3, 3] [['', 'child', 'view 3'], ['', 'child', 'view 3']] ['error 3\\n', 'error 3\\n']",
        "pull [5, 5] [0, 1, 2, 3, 4, 5] [[0, 1, 2], [3, 4, 5]]",
        "map [0, 1, 4, 9, 16] [1, 2]",
        "remote ZeroDivisionError",
        "joblib [0, 1, 2]",
        "original integer division or modulo by zero",
        "frames [0, 1]",
        "view again [4, 4] 1",
        "interrupted KeyboardInterrupt",
        "cluster True",
        "too many ipyparallel.Cluster was asked for 3 engines, and the Cluster that is open has 2 slots: request "
        "more tasks of Slurm, or type `hpcml run --slots-per-node N script.py`",
        "shut down True [7]",
    ]
    tasks = [line.partition("] ")[2] for line in done.stdout.splitlines() if line.startswith("[")]
    assert sorted(tasks) == ["child of task"] * 5 + ["task"] * 5  # and nothing of the views


MAGICS = """
import hpcml
from IPython.terminal.interactiveshell import TerminalInteractiveShell
from traitlets.config import Config

shell = TerminalInteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}), colors="nocolor")
def magics():
    with hpcml.Cluster("ipyparallel", slots_per_node=2, progress=False) as cluster:
        list(cluster.map(abs, range(4)))
        cluster.client
        shell.run_cell_magic("px", "", "print('magic')")
        shell.run_cell("%autopx", store_history=False)
        shell.run_cell("b = 5; print('auto')", store_history=False)
        shell.run_cell("%autopx", store_history=False)
        print("pulled", cluster.client[:]["b"], list(cluster.map(abs, range(4))))
magics()
magics()  # those of the second Cluster, when the first is closed
"""


def test_magics_are_those_of_the_cluster_that_is_open(tmp_path):
    (tmp_path / "magics.py").write_text(MAGICS)
    done = subprocess.run(
        [sys.executable, "magics.py"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=patient(100), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("magic") == done.stdout.count("auto\n") == 4, done.stdout
    assert done.stdout.count("pulled [5, 5] [0, 1, 2, 3]") == 2


CLIENTS = """
import importlib
ipp = importlib.import_module("ipyparallel")  # after the start of the engine that was chosen
for words in ({}, {"url_file": "mine/client.json"}):
    try: ipp.Client(**words)
    except Exception as error: print(error)
"""


def test_another_engine_and_another_controller(tmp_path):
    (tmp_path / "clients.py").write_text(CLIENTS)
    without, own = run(tmp_path, "clients.py").stdout.splitlines()
    assert without == (
        "engine 'local' has no client of ipyparallel: open Cluster(engine=\"ipyparallel\"), or type "
        "`hpcml run --engine ipyparallel script.py`"
    )
    assert own.startswith("Connection file mine/client.json not found")

"""joblib under `hpcml run`: the same as `python` with loky, in threads, with hints, until the exit."""

import os
import subprocess
import sys

import pytest
from engines import ENGINES

PYTHON = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTHON"))}
SECONDS = 240

HELPER = """
STATE = None
def set_state(value):
    global STATE
    STATE = value
def state(_): return STATE
def count(path, _=0):
    with open(path, "a") as file: file.write("x")
def fail(): raise OSError("not prepared")
"""

# Each printed line is the same with loky. "here" is True in the driver's process only.
PROGRAM = """
import asyncio, atexit, concurrent.futures, os, pickle, sys, threading, time
import helper
from joblib import Parallel, delayed, parallel_config

def here(n, driver=os.getpid()): return n, os.getpid() == driver
def prepare(value): os.environ["PREPARED"] = value
def prepared(_): return os.environ.get("PREPARED")
def two(**settings): return Parallel(n_jobs=2, **settings)(delayed(here)(n) for n in range(3))
def nested(n): return sum(Parallel(n_jobs=2)(delayed(abs)(-m) for m in range(n)))
class Thing:
    def __init__(self, n): self.n = n
    def __eq__(self, other): return type(self) is type(other) and self.n == other.n
def thing(n): return Thing(n)

if __name__ == "__main__":
    print("main thread", two())
    print("threads", [future.result() for future in [pool.submit(two) for _ in range(2)]]
          if (pool := concurrent.futures.ThreadPoolExecutor(2)) else "")     # is never shut down
    print("asyncio", asyncio.run(asyncio.to_thread(two)))
    thread = threading.Thread(target=lambda: print("a thread", two())); thread.start(); thread.join()
    print("nested", Parallel(n_jobs=2)(delayed(nested)(n) for n in range(4)))
    print("classes", Parallel(n_jobs=2)(delayed(thing)(n) for n in range(3)) == [Thing(0), Thing(1), Thing(2)])

    found = []
    Parallel(n_jobs=2, prefer="threads")(delayed(found.append)(n) for n in range(10))
    Parallel(n_jobs=2, require="sharedmem")(delayed(found.append)(n) for n in range(10))
    with parallel_config(prefer="threads", n_jobs=2):
        Parallel()(delayed(found.append)(n) for n in range(10))
    Parallel()(delayed(found.append)(n) for n in range(10))                   # n_jobs is not set
    print("shared state", len(found), two(prefer="processes"), two(backend="threading"))
    with parallel_config(n_jobs=2):
        print("set", Parallel()(delayed(here)(n) for n in range(3)))

    settings = {"n_jobs": 2, "initializer": prepare, "initargs": ("yes",)}
    print("initializer", Parallel(**settings)(delayed(prepared)(n) for n in range(6)))
    for value in (5, [6], 5):
        settings = {"n_jobs": 2, "initializer": helper.set_state, "initargs": (value,)}
        print("again", Parallel(**settings)(delayed(helper.state)(n) for n in range(4)))
    for _ in range(2):
        with Parallel(n_jobs=2, initializer=helper.count, initargs=("counted",)) as parallel:
            parallel(delayed(time.sleep)(0.01) for n in range(20))
            parallel(delayed(time.sleep)(0.01) for n in range(20))
    print("once in each process", 1 <= len(open("counted").read()) <= 2)
    try:
        Parallel(n_jobs=2, initializer=helper.fail)(delayed(abs)(n) for n in range(4))
    except (OSError, RuntimeError) as error:                                  # loky: TerminatedWorkerError
        print("an initializer that fails is an error")

    print("loky", two(backend="loky"))
    kept = concurrent.futures.ThreadPoolExecutor(1); kept.submit(time.sleep, 0.1)
    kept_things = [Thing(1)]
    def save(when):
        print(when, pickle.loads(pickle.dumps(kept_things)) == kept_things, Thing is sys.modules["__main__"].Thing)
    def outlive():
        threading.main_thread().join(); save("a thread that outlives the main thread")
    atexit.register(save, "at exit"); threading.Thread(target=outlive).start()
    print("end", flush=True)
"""


def run(folder, *command):
    folder.mkdir()
    (folder / "helper.py").write_text(HELPER)
    (folder / "program.py").write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, *command, "program.py"],
        cwd=folder,
        env=PYTHON,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    done = run(tmp_path_factory.mktemp("python") / "run")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_program_prints_the_same_as_with_loky(engine, expected, tmp_path):
    done = run(tmp_path / "run", "-m", "hpcml", "run", "--quiet", f"--engine={engine}", "--slots-per-node=2")
    assert done.stdout.splitlines() == expected, done.stderr
    assert done.returncode == 0
    assert "main thread [(0, False), (1, False), (2, False)]" in expected  # in other processes
    assert "set [(0, False), (1, False), (2, False)]" in expected
    assert expected[-1] == "at exit True True"


def test_joblib_works_in_forks_and_after_the_main_thread(tmp_path):
    """A thread that outlives the main one, and atexit's callbacks; loky fails in both, so a loop is expected."""
    script = (
        "import atexit, os, threading, hpcml\n"
        "from joblib import Parallel, delayed\n"
        "def work(when):\n"
        "    print(when, Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(4)), list(cluster.map(abs, [-5])))\n"
        "def outlive():\n    threading.main_thread().join()\n    work('thread')\n"
        "if os.fork() == 0:\n"  # has loky, for the Cluster's threads are its parent's
        "    print('fork', Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(4)), flush=True)\n"
        "    from joblib.externals.loky import get_reusable_executor\n"
        "    get_reusable_executor().shutdown(kill_workers=True)\n    os._exit(0)\n"
        "os.wait()\n"
        "cluster = hpcml.Cluster()\n"
        "atexit.register(work, 'atexit'); threading.Thread(target=outlive).start()\n"
    )
    options = ["--quiet", "--engine=local", "--slots-per-node=2"]
    command = [sys.executable, "-m", "hpcml", "run", *options, "-c", script]
    done = subprocess.run(
        command, cwd=tmp_path, env=PYTHON, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.stdout == "fork [0, 1, 2, 3]\nthread [0, 1, 2, 3] [5]\natexit [0, 1, 2, 3] [5]\n", done.stderr
    assert done.returncode == 0, done.stderr

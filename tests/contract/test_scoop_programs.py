"""Programs written for SCOOP, run by `hpcml run`, and what serves them, called by hand."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy
import pytest
import scoop_tasks as tasks

from hpcml.data.outcomes import RemoteTraceback
from hpcml.errors import HpcmlError
from hpcml.scoop_programs import futures, shared

SCRIPTS = Path(__file__).with_name("scoop_scripts")
NO_SLURM = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
both = pytest.mark.parametrize("engine", ["local", "ipyparallel"])


def python(*argv, cwd):
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(
        command,
        cwd=cwd,
        env=NO_SLURM,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        stdin=subprocess.DEVNULL,
    )


def hpcml_run(engine, *argv, cwd):
    return python("-m", "hpcml", "run", "--engine", engine, "--slots-per-node=2", "--quiet", *argv, cwd=cwd)


@pytest.fixture(autouse=True)
def no_constants():
    yield
    shared.forget()


# --- scripts


@both
def test_every_function_in_a_script(engine, tmp_path):
    done = hpcml_run(engine, SCRIPTS / "everything.py", "three", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    (served,) = found.pop("files")
    assert served.endswith(os.path.join("hpcml", "cluster", "scoop", "on_path", "scoop.py"))
    assert found == {
        "words": [[1 + 2 + 3 + 8 + 1 + 4, False], [2 + 5 + 5, False]],
        "depth": 2**5,
        "deep": 2**7,
        "caught": [3, ["6 is too much", "ValueError"]],
        "lambda": [10, 20, 30],
        "method": [0, 3, 6, 9],
        "constant": [1.5, 2.0],
        "reduce": halves([n * n for n in range(37)]),
        "scan": [1, 3, 3, 4, 15],  # SCOOP 0.7.2.0 prints this too
        "as completed": [0, 1, 8, 27],
        "map as completed": [1, 4, 9],
        "told": [0, 1, 8, 27],
        "waited": [4, 0],
        "places": 2,
        "elsewhere": True,
        "draws": 40,
        "sizes": [2],
    }


def halves(values):
    """Return the values subtracted as SCOOP's tree does it."""
    half = len(values) // 2
    return values[0] if not half else halves(values[:half]) - halves(values[half:])


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    """What the DEAP program prints in one process, with the builtin map."""
    done = python(SCRIPTS / "evolution.py", "serial", cwd=tmp_path_factory.mktemp("serial"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@both
def test_deap_programs_end_as_in_one_process(engine, evolved, tmp_path):
    done = hpcml_run(engine, SCRIPTS / "evolution.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == evolved


@both
def test_a_script_whose_task_fails_exits_with_1(engine, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from scoop import futures\n"
        "def invert(n):\n    return 1 / n\n"
        "if __name__ == '__main__':\n"
        "    results = futures.map(invert, [1, 0, 2])\n"
        "    print(next(results), flush=True)\n"
        "    print(list(results))\n"
    )
    done = hpcml_run(engine, script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "1.0\n")
    assert "RemoteTraceback" in done.stderr
    assert "in invert" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_callbacks_are_called_though_nobody_waits(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from scoop import futures\nfutures.submit(pow, 2, 5).add_done_callback(lambda f: print(f.result()))\n"
    )
    done = hpcml_run("local", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "32\n"), done.stderr


def test_a_scoop_of_the_users_own_comes_first(tmp_path):
    (tmp_path / "scoop.py").write_text("flavour = 'vanilla'\n")
    script = tmp_path / "script.py"
    script.write_text("import scoop\nprint(scoop.flavour)\n")
    done = hpcml_run("local", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "vanilla\n"), done.stderr


def test_what_is_not_served_is_named(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import scoop\nscoop.launcher\n")
    done = hpcml_run("local", script, cwd=tmp_path)
    assert done.returncode == 1
    assert "module 'scoop' has no attribute 'launcher' here: `hpcml run` serves" in done.stderr


def test_without_hpcml_run_scoop_is_the_users_own(tmp_path):
    (tmp_path / "scoop.py").write_text("IS_RUNNING = False\n")  # stands for one that is installed
    script = tmp_path / "sub" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "import sys\nsys.path.append(sys.argv[1])\n"
        "import hpcml, scoop\nfrom hpcml.scoop_programs import futures\n"
        "if __name__ == '__main__':\n"
        "    with hpcml.Cluster('local', slots_per_node=2, progress=False):\n"
        "        print(list(futures.map(lambda n: (n, __import__('scoop').IS_RUNNING), [7])), scoop.IS_RUNNING)\n"
    )
    done = python(script, tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[(7, False)] False\n"), done.stderr


def test_a_resumed_program_repeats_no_task(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom scoop import futures, shared\n"
        "def count(n):\n    open('count', 'a').write('x')\n    return n * shared.getConst('factor')\n"
        "shared.setConst(factor=int(open('factor').read()))\n"
        "print(list(futures.map(count, range(5))), futures.submit(count, 9).result())\n"
    )
    for factor, slots, runs in (("3", 2, 6), ("3", 3, 6), ("4", 3, 12)):  # as many slots as there are now
        (tmp_path / "factor").write_text(factor)
        run = ("-m", "hpcml", "run", "--resume", "--quiet", "--engine=local", f"--slots-per-node={slots}", script)
        done = python(*run, cwd=tmp_path)
        n = int(factor)
        assert done.stdout == f"{[n * i for i in range(5)]} {9 * n}\n", done.stderr
        assert len((tmp_path / "count").read_text()) == runs


# --- by hand, on the Cluster that is open


def test_map_keeps_order_and_stops_with_the_shortest(cluster):
    assert list(futures.map(pow, [2, 3, 4], iter([3, 2]))) == [8, 9]
    assert list(futures.map(pow, [], [])) == []
    with pytest.raises(TypeError, match="'pow' is a str, which cannot be called"):
        futures.map("pow", [1])
    with pytest.warns(RuntimeWarning, match=r"futures.map does not pass depth on to the tasks.*functools.partial"):
        assert list(futures.map(abs, [-1], depth=3)) == [1]


def test_errors_come_with_their_remote_traceback(cluster):
    results = futures.map(tasks.fail, [1, 2])
    with pytest.raises(LookupError, match="no 1") as caught:
        next(results)
    assert isinstance(caught.value.__cause__, RemoteTraceback)
    future = futures.submit(tasks.fail, 3)
    with pytest.raises(LookupError, match="no 3") as caught:
        future.result()
    assert "in fail" in str(caught.value.__cause__)
    assert future.exception() is future.exceptionValue is caught.value
    assert future.resultValue is None
    with pytest.raises(LookupError, match="no 4"):
        list(futures.map(tasks.nested_error, [4]))


def test_futures_within_a_task(cluster):
    for number, found in enumerate(futures.map(tasks.nested, range(3))):
        assert found == {
            "done": (True, False, False, False),
            "told": [number**2],
            "failed": f"no {number}",
            "untaken": "generator",
            "waited": (1, 0),
            "completed": [number**2],
            "reduced": 2,
            "scanned": [3, 2, 5],
        }


def test_wait_and_as_completed(cluster):
    short, long = futures.submit(tasks.nap, 0), futures.submit(tasks.nap, 0.7)
    assert futures.wait([long, short], return_when=futures.FIRST_COMPLETED) == ({short}, {long})
    assert futures.wait([short, long], 0) == ({short}, {long})
    assert futures.wait([short, long], timeout=0.05) == ({short}, {long})
    with pytest.raises(TimeoutError, match="1 of 2 futures have not ended after 0.05 s"):
        list(futures.as_completed([long, short], 0.05))
    with pytest.raises(TimeoutError, match="not done> after 0.05 s"):
        long.result(0.05)
    assert [future.result() for future in futures.as_completed([long, short])] == [0, 0.7]
    assert futures.wait([long, short]) == ({short, long}, set())
    with pytest.raises(ValueError, match="choose ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION"):
        futures.wait([short], return_when="SOON")


def test_wait_and_as_completed_raise_what_a_task_raised_as_scoop_does(cluster):
    bad, long = futures.submit(tasks.fail, 1), futures.submit(tasks.nap, 0.7)
    with pytest.raises(LookupError, match="no 1"):
        futures.wait([long, bad])
    with pytest.raises(LookupError, match="no 1"):
        list(futures.as_completed([bad]))
    assert futures.wait([bad, long], 5, futures.FIRST_EXCEPTION) == ({bad}, {long})
    assert futures.wait([bad, long], 5).not_done == set()


def test_cancelled_futures(cluster):
    *busy, last = [futures.submit(tasks.long_nap) for _ in range(4 * cluster.slots + 1)]
    assert last.cancel()
    assert last.cancelled()
    assert last.done()
    assert type(last.exceptionValue).__name__ == "CancelledError"
    assert futures.wait([last]) == ({last}, set())
    assert [future.cancel() for future in reversed(busy)].count(True) > 0
    for future in busy:
        assert future.cancelled() or future.result() == 0.5


def test_callbacks_run_in_the_thread_that_waits(cluster):
    told = []

    def tell(future):
        told.append((future.result(), futures.submit(abs, -7).result()))

    submitted = [futures.submit(tasks.nap, seconds) for seconds in (0, 0.01, 0.02)]
    for future in submitted:
        future.add_done_callback(tell)
        future.add_done_callback(lambda _: 1 / 0)  # logged
    futures.wait(submitted)
    time.sleep(0.1)
    assert submitted[0].done()
    assert sorted(told) == [(0, 7), (0.01, 7), (0.02, 7)]
    submitted[0].add_done_callback(tell)
    assert told[3] == (0, 7)


def test_reductions(cluster):
    for length in (1, 2, 3, 12, 100):
        values = [0.1 * n for n in range(length)]
        assert futures.mapReduce(float, min, values) == 0
        assert futures.mapReduce(float, lambda a, b: a - b, values) == halves(values)
        assert len(futures.mapScan(float, max, iter(values))) == length
    with pytest.raises(IndexError, match="mapReduce of nothing"):
        futures.mapReduce(abs, min, [])
    with pytest.raises(LookupError, match="no 5"):
        futures.mapReduce(tasks.fail, min, [5])


def test_constants_reach_the_tasks_that_come_after_them(cluster):
    before = futures.submit(tasks.constant, "table").result()
    table = numpy.arange(300_000.0)
    shared.setConst(table=table, small=[1, 2])
    assert before is None
    assert shared.getConst("table") is table
    assert list(futures.map(tasks.total, ["table"] * 6)) == [table.sum()] * 6
    assert futures.submit(tasks.constant, "small").result() == [1, 2]
    with pytest.raises(TypeError, match="This constant already exists: small"):
        shared.setConst(other=1, small=3)
    assert shared.getConst("other", timeout=0) is None
    assert cluster.submit(tasks.constant, "small").result() is None  # not one of the program's tasks


def test_constants_that_cannot_be(cluster):
    with pytest.raises(HpcmlError, match=r"what is to be broadcast cannot be sent"):
        shared.setConst(handle=threading.Lock())
    assert shared.getConst("handle", timeout=0) is None
    with pytest.raises(HpcmlError, match=r"setConst\(mine=…\) was called in a task"):
        futures.submit(tasks.set_constant, "mine").result()
    with pytest.raises(HpcmlError, match=r"getConst\('never', timeout=inf\) in a task.*Call setConst\(never=…\)"):
        futures.submit(tasks.constant, "never", timeout=float("inf")).result()


def test_a_future_does_not_travel(cluster):
    with pytest.raises(HpcmlError, match="cannot be sent to a worker"):
        futures.submit(abs, futures.submit(abs, 1))

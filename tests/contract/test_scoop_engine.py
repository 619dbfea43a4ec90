"""`hpcml run --engine scoop` on this computer: SCOOP's API unchanged, true exit statuses, and no end that hangs.

Every script runs in a process of its own; none of the processes that one starts outlives it.
"""

import contextlib
import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from hpcml import engines
from hpcml.engines.scoop import command, library
from hpcml.errors import EngineError

NO_SLURM = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
MARK = "HPCML_TEST_SCOOP"
GUARD = 'if __name__ == "__main__":\n'


def processes(mark):
    """Return the processes whose environment holds the mark of a test."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            ours = f"{MARK}={mark}\0".encode() in (directory / "environ").read_bytes()
            if ours and (directory / "stat").read_text().rpartition(") ")[2][0] != "Z":
                found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def none_left(mark, seconds=15):
    """Wait until no process of the test is left, and fail when one stays."""
    end = time.monotonic() + seconds
    while left := processes(mark):
        assert time.monotonic() < end, left
        time.sleep(0.05)


class Run:
    """A script that runs with engine scoop, in `directory`."""

    def __init__(self, directory, script, *args, options=("--quiet",), slots=2, main="", env=None):
        self.directory, self.mark = directory, str(directory)
        text = textwrap.dedent(script) + (GUARD + textwrap.indent(textwrap.dedent(main), "    ") if main else "")
        (directory / "script.py").write_text(text)
        # What is started in a shell's background is deaf to two of the signals.
        argv = ["env", "--default-signal=INT,QUIT", sys.executable, "-m", "hpcml"]
        argv += ["run", "--engine", "scoop", f"--slots-per-node={slots}"]
        self.process = subprocess.Popen(
            [*argv, *options, "script.py", *args],
            cwd=directory,
            env={**NO_SLURM, MARK: self.mark, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self, seconds=30):
        """Return the next line of its standard output."""
        assert select.select([self.process.stdout], [], [], seconds)[0], "nothing is printed"
        return self.process.stdout.readline().rstrip("\n")

    def end(self, seconds=30):
        """Return its exit status and what it printed; all of its processes are gone, and its key."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            none_left(self.mark)
            raise AssertionError(f"it hangs: {self.process.communicate()}") from None
        none_left(self.mark)
        return SimpleNamespace(status=self.process.returncode, out=out, err=err)


@pytest.fixture
def run(tmp_path):
    """Function that runs a script to its end; see `Run`."""
    return lambda script, *args, **options: Run(tmp_path, script, *args, **options).end()


@pytest.fixture
def together(tmp_path):
    """Function that runs several scripts, as ``{name: main part}``, four at a time; {name: their ends}."""

    def run(script, mains):
        ends, names = {}, list(mains)
        for first in range(0, len(names), 4):
            runs = {}
            for number, name in enumerate(names[first : first + 4], first):
                (tmp_path / str(number)).mkdir()
                runs[name] = Run(tmp_path / str(number), script, main=mains[name])
            ends |= {name: run.end() for name, run in runs.items()}
        return ends

    return run


@pytest.fixture
def start(tmp_path):
    """Function that starts a script; what is left of it at the end of the test is killed."""
    yield lambda script, *args, **options: Run(tmp_path, script, *args, **options)
    for pid in processes(str(tmp_path)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# -- what works unchanged ----------------------------------------------------------------------------------
API = """
import functools, os, sys, warnings
import scoop
from scoop import futures, shared

FACTOR = 3

def times(x):
    return FACTOR * x

def where(x):
    return os.getpid(), scoop.worker, scoop.IS_ORIGIN

def logged(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args)
    return wrapper

@logged
def decorated(x):
    return x + 1

class Box:
    def __init__(self, n):
        self.n = n
    def add(self, x):
        return self.n + x

def boxed(box):
    assert type(box) is Box
    return Box(2 * box.n)

def tree(level):
    return 1 if level == 0 else 1 + sum(futures.map(tree, [level - 1] * 2))

def constant(x):
    return shared.getConst("offset", timeout=10) + x

def fails(x):
    raise LookupError(f"no {x}")
"""
MAIN = """
    print(sys.argv[1:], __name__, scoop.SIZE, scoop.IS_ORIGIN)
    places = list(futures.map(where, range(40)))
    assert len(set(places)) == 3 and not any(origin for _, _, origin in places), places
    assert os.getpid() not in {pid for pid, _, _ in places}
    assert scoop.worker not in {worker for _, worker, _ in places}
    assert list(futures.map(times, range(50))) == [3 * n for n in range(50)]
    assert list(futures.map(pow, [2, 3], [5, 2])) == [32, 9]
    assert sorted(futures.map_as_completed(times, range(9))) == [3 * n for n in range(9)]
    assert futures.submit(pow, 2, 10).result() == 1024
    many = [futures.submit(times, n) for n in range(5)]
    assert futures.wait(many).not_done == set()
    assert {future.result() for future in futures.as_completed(many)} == {0, 3, 6, 9, 12}
    late = [futures.submit(times, n) for n in range(3)]
    assert len(futures.wait(late, timeout=10).done) == 3
    assert futures.mapReduce(times, lambda a, b: a + b, range(20)) == 570
    assert futures.mapScan(times, lambda a, b: a + b, range(20))[-1] == 570
    assert list(futures.map(decorated, [1, 2])) == [2, 3]
    boxes = list(futures.map(boxed, [Box(1), Box(2)]))
    assert [box.n for box in boxes] == [2, 4] and type(boxes[0]) is Box
    assert list(futures.map(Box(5).add, [1, 2])) == [6, 7]
    offset = 4
    assert list(futures.map(lambda x: x + offset, [1, 2])) == [5, 6]
    partial = functools.partial(decorated)
    partial.__dict__.update(decorated.__dict__)  # as DEAP's Toolbox.register does
    assert list(futures.map(partial, [1])) == [2]
    assert futures.submit(tree, 5).result() == 63
    shared.setConst(offset=100)
    assert list(futures.map(constant, [1, 2])) == [101, 102]
    for attempt in range(2):
        try:
            list(futures.map(fails, [1]))
        except LookupError as error:
            assert "on " in str(error.__cause__) and "line" in str(error.__cause__)
            assert str(error) == "no 1"
    done = futures.submit(times, 2)
    done.add_done_callback(lambda future: print("called with", future.result()))
    assert done.result() == 6
    assert list(futures.map(times, range(1000))) == [3 * n for n in range(1000)]
    class Long:
        def __len__(self):
            return 10**6
    scoop._types.FutureQueue.timelen(None, Long())  # goes through no queue: SCOOP's takes 31 s for 10,000 tasks
    print("all is well")
"""


def test_all_of_scoops_interface_works_unchanged(run):
    done = run(API, "a", "b c", main=MAIN, slots=3, env={"PYTHONWARNINGS": "default"})
    assert done.status == 0, done.err
    assert done.out == "['a', 'b c'] __main__ 4 True\ncalled with 6\nall is well\n"
    assert "scoop" not in done.err, "SCOOP's own warnings are not shown"


def test_the_opening_line_and_what_workers_print(run, tmp_path):
    script = """
        import sys
        import scoop
        from scoop import futures
        def f(x):
            scoop.logger.info("logged %s", x)
            print("told", x)
            print("warned", x, file=sys.stderr)
    """
    done = run(script, main="list(futures.map(f, 'ab'))\nprint('end')", options=())
    assert done.status == 0
    assert sorted(done.out.splitlines()) == ["end", "told a", "told b"]
    assert {"warned a", "warned b"} < set(done.err.splitlines())
    assert len(re.findall(r"127\.0\.0\.1:\d+.*INFO +logged [ab]", done.err)) == 2
    assert "hpcml: engine scoop, 2 slots on " in done.err
    assert not (tmp_path / ".hpcml").exists()


def test_long_tasks_run_once_and_all_at_the_same_time(run, tmp_path):
    """SCOOP itself repeats what takes more than 2 s while its parent waits, and lets the origin work."""
    script = """
        import os, time
        from scoop import futures
        def slow(n):
            open(f"begun-{n}-{os.getpid()}", "x").close()
            time.sleep(3)
            return n
    """
    began = time.monotonic()
    done = run(script, main="assert list(futures.map(slow, range(3))) == [0, 1, 2]", slots=3)
    assert done.status == 0, done.err
    begun = [path.name.split("-") for path in tmp_path.glob("begun-*")]
    assert len(begun) == len({pid for _, _, pid in begun}) == 3
    assert time.monotonic() - began < 15


CMA = """
import numpy
from deap import algorithms, base, benchmarks, cma, creator, tools
from scoop import futures

creator.create("FitnessMin", base.Fitness, weights=(-1.0,))
creator.create("Individual", list, fitness=creator.FitnessMin)
toolbox = base.Toolbox()
toolbox.register("evaluate", benchmarks.rastrigin)
toolbox.register("map", futures.map)

def search(generations=15):
    numpy.random.seed(128)
    strategy = cma.Strategy(centroid=[5.0] * 5, sigma=5.0, lambda_=20)
    toolbox.register("generate", strategy.generate, creator.Individual)
    toolbox.register("update", strategy.update)
    best = tools.HallOfFame(1)
    algorithms.eaGenerateUpdate(toolbox, ngen=generations, halloffame=best, verbose=False)
    return best[0].fitness.values[0]
"""


def test_cma_es_on_rastrigin_gives_what_one_process_gives(run):
    main = "found = search()\ntoolbox.register('map', map)\nprint(found == search(), found)"
    done = run(CMA, main=main)
    assert done.status == 0, done.err
    assert done.out.startswith("True ")


ISLANDS = """
import array, functools, random
from deap import algorithms, base, creator, tools
from scoop import futures

creator.create("FitnessMax", base.Fitness, weights=(1.0,))
creator.create("Individual", array.array, typecode="b", fitness=creator.FitnessMax)

def counted(function):
    @functools.wraps(function)
    def wrapper(individual):
        return function(individual)
    return wrapper

@counted
def ones(individual):
    return (sum(individual),)

toolbox = base.Toolbox()
toolbox.register("bit", random.randint, 0, 1)
toolbox.register("individual", tools.initRepeat, creator.Individual, toolbox.bit, 30)
toolbox.register("population", tools.initRepeat, list, toolbox.individual)
toolbox.register("evaluate", ones)
toolbox.register("mate", tools.cxTwoPoint)
toolbox.register("mutate", tools.mutFlipBit, indpb=0.05)
toolbox.register("select", tools.selTournament, tournsize=3)
toolbox.register("map", futures.map)
"""
ISLANDS_MAIN = """
    random.seed(64)
    islands = [toolbox.population(n=30) for _ in range(3)]
    for name in ("bit", "individual", "population"):
        toolbox.unregister(name)
    toolbox.register("evolve", algorithms.eaSimple, toolbox=toolbox, cxpb=0.5, mutpb=0.2, ngen=3, verbose=False)
    for _ in range(3):
        islands = [population for population, _ in toolbox.map(toolbox.evolve, islands)]
        tools.migRing(islands, 5, tools.selBest)
    best = max(individual.fitness.values[0] for island in islands for individual in island)
    print([len(island) for island in islands], best > 20)
"""


def test_islands_that_map_inside_of_a_map(run):
    """The toolbox travels with each task, a decorated function in it; with plain pickle it does not."""
    done = run(ISLANDS, main=ISLANDS_MAIN)
    assert done.status == 0, done.err
    assert done.out == "[30, 30, 30] True\n"


# -- exit statuses and errors --------------------------------------------------------------------------------
WORK = """
import os, signal, sys, time
import threading
from scoop import futures

def work(x):
    return x

def sleep(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)

class Needs(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

def raises_needs(x):
    raise Needs("this", "that")

def lock(x):
    return threading.Lock()

class OneWay:
    def __reduce__(self):
        return int, ("no number",)

def one_way(x):
    return OneWay()

def leave(status):
    os._exit(status)

def exit_task(status):
    sys.exit(status)

def kill_me(x):
    os.kill(os.getpid(), signal.SIGKILL)
"""
ENDS = {
    "list(futures.map(work, [1])); raise LookupError('lost')": (1, r"LookupError: lost"),
    "list(futures.map(work, [1])); sys.exit(7)": (7, "^$"),
    "sys.exit('said')": (1, "^said$"),
    "list(futures.map(raises_needs, [1]))": (1, "Needs: this and that"),
    "list(futures.map(exit_task, [5]))": (5, "^$"),
    "list(futures.map(lock, [1]))": (1, "the result of lock on .* cannot travel: .*lock"),
    "list(futures.map(one_way, [1]))": (1, "result of one_way cannot be unpickled in the script's process: Val"),
    "list(futures.map(work, [threading.Lock()]))": (1, "the task work cannot travel to a worker: .*lock"),
}


def test_the_exit_status_is_the_scripts_own(together):
    for main, done in together(WORK, {main: main for main in ENDS}).items():
        status, said = ENDS[main]
        assert done.status == status, (main, done.err)
        assert re.search(said, done.err), (main, done.err)


def test_errors_of_tasks_can_be_caught_and_the_pool_stays_fine(run):
    main = """
        def local(x):
            return x
        no_lock = threading.Lock()
        for function, argument in ((raises_needs, 1), (lock, 1), (one_way, 1), (work, no_lock), (local, 1)):
            try:
                list(futures.map(function, [argument] * 3))
                print("no error")
            except Exception as error:
                print(type(error).__name__)
            assert list(futures.map(work, range(5))) == list(range(5))
    """
    done = run(WORK, main=main)
    assert done.status == 0, done.err
    assert done.out.split() == ["Needs", "TaskError", "TaskError", "TaskError", "TaskError"]


def test_a_function_that_workers_do_not_know_is_named(run):
    done = run(WORK, main="def only_here(x):\n    return x\nlist(futures.map(only_here, [1]))")
    assert done.status == 1
    assert "the task only_here cannot be unpickled on a worker" in done.err
    assert "define what travels at its top level" in done.err


def test_a_script_that_workers_cannot_load(tmp_path):
    scripts = {
        "import no_such_module\n": "No module named 'no_such_module'",
        "import scoop\nif not scoop.IS_ORIGIN:\n    raise LookupError('here')\n": "LookupError: here",
        "from scoop import futures\nprint(list(futures.map(abs, [1])))\n": 'if __name__ == "__main__":',
        "def broken(:\n": "SyntaxError",
    }
    runs = []
    for number, script in enumerate(scripts):
        (tmp_path / str(number)).mkdir()
        runs.append(Run(tmp_path / str(number), script))
    for run, said in zip(runs, scripts.values(), strict=True):
        done = run.end()
        assert done.status == 1
        assert "ended while it started (exit code 1)" in done.err
        assert said in done.err


DEATHS = {
    "list(futures.map(leave, [3]))": "exit code 3",
    "list(futures.map(leave, [0]))": "exit code 0",
    "list(futures.map(kill_me, [3]))": "signal SIGKILL",
    "futures.submit(leave, 3); time.sleep(1.5)": "exit code 3",
    "futures.submit(leave, 3)\ntry:\n    futures.submit(sleep, 60).result()\nexcept Exception:\n    pass": "exit",
}


def test_a_worker_that_ends_in_a_task_fails_the_run(together):
    """Also when the script does not wait for it, or takes no notice."""
    for main, done in together(WORK, {main: main for main in DEATHS}).items():
        assert done.status == 1, main
        assert f"of {os.uname().nodename} ended ({DEATHS[main]}" in done.err
        assert "its tasks are lost" in done.err


def workers(mark):
    """Return the forked workers of a run: the children of the node's program."""
    nodes = {pid for pid, command in processes(mark).items() if "hpcml.engines.scoop.node" in command}
    return sorted(pid for pid in nodes if parent(pid) in nodes)


def parent(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])


def test_an_idle_worker_that_is_killed_fails_the_run(start):
    """With SCOOP itself the broker dies when it has something for that worker, and the script waits for ever."""
    run = start(WORK, main="list(futures.map(work, range(4)))\nprint('idle', flush=True)\ntime.sleep(1)\n"
                           "list(futures.map(work, range(100)))\nprint('never')")  # fmt: skip
    assert run.line() == "idle"
    os.kill(workers(run.mark)[0], signal.SIGKILL)
    done = run.end()
    assert done.status == 1
    assert "signal SIGKILL" in done.err
    assert "never" not in done.out


def test_a_busy_worker_that_is_killed_fails_the_run_at_once(start):
    run = start(WORK, main="list(futures.map(sleep, [60, 60]))")
    pid = int(run.line())
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    done = run.end()
    assert done.status == 1
    assert "signal SIGKILL" in done.err
    assert time.monotonic() - began < 10


def test_the_program_of_the_node_is_killed(start):
    run = start(WORK, main="list(futures.map(sleep, [60, 60]))")
    run.line()
    os.kill(parent(workers(run.mark)[0]), signal.SIGKILL)
    done = run.end()
    assert done.status == 1
    assert "the step of the workers ended with status -9" in done.err


def test_the_broker_fails(run):
    """Whatever ends the broker's thread; it is a part of the script's process."""
    main = """
        import gc
        from scoop.broker.brokerzmq import Broker
        (broker,) = [thing for thing in gc.get_objects() if isinstance(thing, Broker)]
        broker.unassigned_tasks = broker.available_workers = None
        list(futures.map(work, range(10)))
    """
    done = run(WORK, main=main)
    assert done.status == 1
    assert "SCOOP's broker has failed: AttributeError" in done.err


SIGNALS = {"SIGKILL": -9, "SIGTERM": 143, "SIGINT": 130, "SIGQUIT": -3}
IDLE = "list(futures.map(work, range(4)))\nprint('idle', flush=True)\ntime.sleep(60)"


def test_the_launching_process_is_ended(tmp_path):
    """While its workers are busy; with SCOOP itself the worst is when they are idle."""
    main = "try:\n    list(futures.map(sleep, [60, 60]))\nfinally:\n    open('tidy', 'w').close()"
    runs = {}
    for name in SIGNALS:
        (tmp_path / name).mkdir()
        runs[name] = Run(tmp_path / name, WORK, main=main)
    (tmp_path / "idle").mkdir()
    idle = Run(tmp_path / "idle", WORK, main=IDLE)
    for name, run in runs.items():
        run.line()
        assert len(processes(run.mark)) == 4
        run.process.send_signal(signal.Signals[name])
        done = run.end()
        assert done.status == SIGNALS[name], done.err
        if name not in ("SIGKILL", "SIGQUIT"):
            assert "Traceback" not in done.err
            assert (run.directory / "tidy").exists(), "the script's own end came first"
            assert not list(run.directory.glob(".hpcml/*/curve.key"))
    assert idle.line() == "idle"
    idle.process.kill()
    assert idle.end().status == -9


def test_a_child_of_the_script_does_not_keep_the_workers(start):
    """One that was forked, as by multiprocessing, and outlives a script that is killed."""
    run = start(WORK, main="if os.fork() == 0:\n    time.sleep(60)\nlist(futures.map(sleep, [60, 60]))")
    run.line()
    run.process.kill()
    end = time.monotonic() + 15
    while left := [argv for argv in processes(run.mark).values() if "hpcml.engines.scoop.node" in argv]:
        assert time.monotonic() < end, left
        time.sleep(0.05)
    assert len(processes(run.mark)) == 1
    for pid in processes(run.mark):
        os.kill(pid, signal.SIGKILL)
    run.end()


def test_a_task_that_still_runs_does_not_hold_the_end(run):
    """Neither does what it has started, which ends with it."""
    script = """
        import subprocess, time
        from scoop import futures
        def sleep(seconds):
            open("started", "x").close()
            subprocess.run(["sleep", str(seconds)])
    """
    main = """
        import os
        futures.submit(sleep, 60)
        while not os.path.exists("started"):
            time.sleep(0.05)
        print("end")
    """
    began = time.monotonic()
    done = run(script, main=main)
    assert (done.status, done.out) == (0, "end\n"), done.err
    assert time.monotonic() - began < 15


def test_workers_that_do_not_come_are_named(run):
    script = "import scoop, time\nif not scoop.IS_ORIGIN:\n    time.sleep(60)\n"
    done = run(script, options=("--timeout=2",))
    assert done.status == 1
    assert "not all workers have connected within 2 s" in done.err
    assert f"{os.uname().nodename} lacks the workers of slots 0, 1" in done.err
    assert "--timeout=8" in done.err


# -- what is refused ---------------------------------------------------------------------------------------
def test_options_without_a_meaning_are_refused(run):
    done = run("raise SystemExit(9)", options=("--task-timeout=3",))
    assert done.status == 1
    assert done.err.startswith("hpcml: --task-timeout does not go with --engine scoop: SCOOP cannot end a task.")
    assert "Traceback" not in done.err
    for name in ("resume", "requeue", "min_slots"):
        arguments = {"resume": False, "requeue": False, "task_timeout": None, "min_slots": None, name: 1}
        with pytest.raises(EngineError, match=f"--{name.replace('_', '-')} does not go with --engine scoop: "):
            command.refuse_options(SimpleNamespace(**arguments))


def test_there_is_no_cluster_over_it():
    with pytest.raises(EngineError, match=r"has no Cluster: type `hpcml run --engine scoop script\.py`"):
        engines.load("scoop")


def test_another_version_of_scoop_is_refused():
    with pytest.raises(EngineError, match=r"has SCOOP 0\.7\.1\.3: type `pip install 'hpcml\[scoop\]'`"):
        library.check_version("0.7.1.3")
    library.check_version("0.7.2.0")


def test_no_scoop_at_all_is_said(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(EngineError, match=r"does not have: type `pip install 'hpcml\[scoop\]'`"):
        library.load()


def test_scoop_without_a_part_that_is_changed_is_refused():
    loaded = library.load()
    queue = {name: 0 for name in library.USED["types.FutureQueue"] if name != "timelen"}
    types = SimpleNamespace(Future=0, FutureQueue=SimpleNamespace(**queue))
    with pytest.raises(EngineError, match=r"needs types\.FutureQueue\.timelen of SCOOP 0\.7\.2\.0.*pip install"):
        library.check_parts(SimpleNamespace(**{**vars(loaded), "types": types}))


# -- security ------------------------------------------------------------------------------------------------
STRANGER = """
import pickle, sys, zmq
from pathlib import Path
ports, key, file = eval(sys.argv[1]), sys.argv[2], sys.argv[3]
class Evil:
    def __reduce__(self):
        return open, (file, "w")
peers = []
pairs = [sys.argv[4].encode().split()] if sys.argv[4] else [None, zmq.curve_keypair()]
for port in ports:
    for own in pairs:
        peer = zmq.Context.instance().socket(zmq.DEALER)
        peer.linger = 0
        if own:
            peer.curve_publickey, peer.curve_secretkey = own
            peer.curve_serverkey = key.encode()
        peer.connect(f"tcp://127.0.0.1:{port}")
        peers.append(peer)
poller = zmq.Poller()
for peer in peers:
    poller.register(peer, zmq.POLLIN)
    evil = [[b"I", pickle.dumps(Evil())], [b"RQ"], [b"T", b"", pickle.dumps(Evil())], [b"S"]]
    for frames in [[b"I", pickle.dumps({})]] if sys.argv[4] else evil:
        peer.send_multipart(frames, zmq.NOBLOCK)
print(len(poller.poll(1500)))
"""


def listening(pids):
    """Return {(address, port)} of the listening sockets of processes."""
    inodes = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(link).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def test_a_stranger_is_neither_heard_nor_answered(start, tmp_path):
    """Not even who knows the servers' public key: only the run's own pair is admitted."""
    main = "import time\nlist(futures.map(work, range(4)))\nprint('idle', flush=True)\ninput_ = 'go'\n"
    main += "while not __import__('os').path.exists('go'):\n    time.sleep(0.05)\n"
    main += "print(list(futures.map(work, range(20))) == list(range(20)))"
    run = start(WORK, main=main, options=("--quiet", "--run-dir=runs"))
    assert run.line() == "idle"
    (key,) = tmp_path.glob("runs/*/curve.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    public, secret = key.read_text().split()
    found = listening(processes(run.mark))
    loopback = socket.inet_aton("127.0.0.1")[::-1].hex().upper()
    assert {address for address, _ in found} == {loopback}, "one address, not all"
    assert len(found) == 5, "the broker's two, and one of each of the workers and the origin"
    for pid, argv in processes(run.mark).items():
        assert public not in argv
        assert secret not in argv
        assert secret.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
    evil = tmp_path / "evil"
    argv = [sys.executable, "-c", STRANGER, str([port for _, port in found]), public, str(evil)]
    for pair, answers in (("", 0), (f"{public} {secret}", 1)):
        done = subprocess.run([*argv, pair], capture_output=True, text=True, timeout=30, check=True)
        assert int(done.stdout) == answers
    assert not evil.exists()
    (tmp_path / "go").touch()
    end = run.end()
    assert end.status == 0, end.err
    assert end.out == "True\n"
    assert not (tmp_path / "runs").exists()

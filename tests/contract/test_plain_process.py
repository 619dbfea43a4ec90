"""Tasks run in a plain Python process: differences from a worker of loky's are listed, each with its reason."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import tasks
import traits
from loky import ProcessPoolExecutor

import hpcml

# Each is a trait that no program may depend on, or that is nearer to plain Python than loky's worker is.
DIFFERENT = {
    "local": {
        "start method",  # loky's own cannot start multiprocessing.Process (case K); here the default holds
        "group",  # Ctrl-C in a terminal or a notebook is for the driver, which ends the tasks that are to end
    },
    "ipyparallel": {
        "start method",
        "flags",  # -P: a random.py in the working directory must not be ours
        "warnings",  # two filters of IPython's and tornado's for their own warnings
        "main",  # loky's has the name of the program that started it, this one is empty
        "group",  # processes that a task starts end with its worker
    },
    "mpi": {
        *("start method", "flags", "main", "group"),  # as ipyparallel's
        "warnings",  # a library that is imported before the fork adds its filter then (scipy.special)
    },
}


@pytest.fixture(scope="module")
def plain():
    with ProcessPoolExecutor(1) as executor:
        return executor.submit(traits.traits).result(100)


def test_every_trait_is_that_of_a_plain_process(cluster, plain):
    engine = cluster._session.engine
    found = cluster.submit(traits.traits).result(100)
    assert found.keys() == plain.keys()
    for name in found.keys() - DIFFERENT[engine]:
        assert found[name] == plain[name], name
    assert found["main thread"]


@pytest.mark.parametrize("cluster", ["ipyparallel"], indirect=True)
def test_the_traits_are_the_same_after_other_requests(cluster, plain):
    """Views and magics are those of ipyparallel alone."""
    view = cluster.client[:]
    for _ in range(2):
        shells = view.apply_sync(eval, 'type(__import__("IPython").get_ipython()).__name__')
        assert "NoneType" not in shells
        found = cluster.submit(traits.traits).result(100)
        for name in ("builtins", "get_ipython", "hooks", "ps1", "environment", "notebook", "tqdm", "matplotlib"):
            assert found[name] == plain[name], name


# -- standard streams --------------------------------------------------------------------------------------------
def close_stdout(_):
    with sys.stdout as out:
        print("closing", file=out)


def close_descriptor(_):
    os.close(1)
    os.close(2)


def replace_streams(_):
    import io

    sys.stdout = io.StringIO()
    sys.stderr = None


def wrap_stdout(_):
    import io

    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-16")


def detach_stdout(_):
    sys.stdout.detach()


def reconfigure(_):
    sys.stdout.reconfigure(encoding="ascii", errors="strict", write_through=True)


def silence_for_good(_):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def silence_c(_):
    """Silence C libraries as recipes do: redirect the descriptor, and restore it."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    sys.stdout.flush()
    os.dup2(nowhere, 1)
    os.system("echo unheard")
    os.dup2(kept, 1)
    os.close(kept)
    os.close(nowhere)


HARMS = [close_stdout, close_descriptor, replace_streams, wrap_stdout, detach_stdout, reconfigure]
HARMS += [silence_for_good, silence_c]


def print_everywhere(word):
    """Print in every way; return attributes of the standard streams."""
    print("python", word)
    sys.stdout.buffer.write(f"bytes {word}\n".encode())
    done = subprocess.run(["echo", "child", word], stdout=sys.stdout, check=False).returncode
    os.write(1, f"descriptor {word}\n".encode())
    print("error", word, file=sys.stderr)
    return done, sys.stdout.fileno(), sys.stderr.fileno(), sys.stdout.encoding


@pytest.mark.parametrize("harm", HARMS)
def test_harm_of_a_task_to_its_streams_ends_with_the_task(cluster, capfd, harm):
    for future in [cluster.submit(harm, number) for number in range(3 * cluster.slots)]:
        future.result(60)
    words = [f"é{number}-{harm.__name__}" for number in range(2 * cluster.slots)]
    encoding = getattr(sys.__stdout__, "encoding", "utf-8")
    assert list(cluster.map(print_everywhere, words)) == [(0, 1, 2, encoding)] * len(words)
    printed = capfd.readouterr()
    for word in words:
        for way in ("python", "bytes", "child", "descriptor"):
            assert printed.out.count(f"] {way} {word}\n") == 1
        assert printed.err.count(f"] error {word}\n") == 1
    assert "unheard" not in printed.out


def maybe_to_a_file(path):
    with open(path, "w") if path else sys.stdout as out:
        print("spoken", file=out)
    return path


def test_a_task_that_closes_standard_output_harms_no_other_of_its_chunk(cluster, capfd):
    """The idiom for "to a file, or else to standard output"; in one process the second call would fail."""
    for _ in range(3):
        assert list(cluster.map(maybe_to_a_file, [""] * 500)) == [""] * 500
    assert capfd.readouterr().out.count("] spoken\n") == 1500


# -- event loops -------------------------------------------------------------------------------------------------
async def twice(value):
    await asyncio.sleep(0)
    return await asyncio.to_thread(lambda: 2 * value)


def run_async(value):
    return asyncio.run(twice(value))


def run_in_current_loop(value):
    """Return a result of the thread's own loop, which stays open, as in older programs."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return asyncio.get_event_loop().run_until_complete(twice(value))


def run_with_signals(value):
    async def wait():
        loop, received = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGUSR1, received.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await asyncio.wait_for(received.wait(), 30)
        loop.remove_signal_handler(signal.SIGUSR1)
        return 2 * value

    return asyncio.run(wait())


def running_loop(_):
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


@pytest.mark.parametrize("function", [run_async, run_in_current_loop, run_with_signals])
def test_tasks_may_run_event_loops(cluster, function):
    assert list(cluster.map(function, range(12))) == [2 * n for n in range(12)]
    assert set(cluster.map(running_loop, range(6))) == {None}
    with pytest.raises(ZeroDivisionError):
        cluster.submit(run_async_failing).result(60)
    assert cluster.submit(run_async, 3).result(60) == 6


def run_async_failing():
    async def fail():
        return 1 / 0

    asyncio.run(fail())


# -- signals and children ----------------------------------------------------------------------------------------
def terminate_child(_):
    child = multiprocessing.Process(target=time.sleep, args=(600,))
    child.start()
    child.terminate()
    child.join(60)
    return child.exitcode


def terminate_pool(_):
    with multiprocessing.Pool(2) as pool:
        try:
            pool.apply_async(time.sleep, (600,)).get(0.1)
        except multiprocessing.TimeoutError:
            return "too long"


def terminate_program(_):
    child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"],
                             stdout=subprocess.PIPE)  # fmt: skip
    child.stdout.readline()
    child.terminate()
    return child.wait(60)


@pytest.mark.parametrize(
    ("function", "expected"),
    [(terminate_child, -signal.SIGTERM), (terminate_pool, "too long"), (terminate_program, -signal.SIGTERM)],
)
def test_children_have_default_signals(cluster, function, expected):
    assert list(cluster.map(function, range(2))) == [expected] * 2


def leave_a_child():
    return subprocess.Popen(["sleep", "600"]).pid


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_a_process_started_by_a_task_ends_with_the_cluster(engine, tmp_path):
    with hpcml.Cluster(engine, slots_per_node=1, run_dir=tmp_path, progress=False) as cluster:
        child = cluster.submit(leave_a_child).result(60)
        assert os.path.exists(f"/proc/{child}")
    end = time.monotonic() + 60
    while os.path.exists(f"/proc/{child}"):
        assert time.monotonic() < end
        time.sleep(0.05)


# -- multiprocessing's managers ----------------------------------------------------------------------------------
def put(number, queue, lock):
    with lock:
        queue.put(number)


def test_queues_and_locks_of_a_manager_work_in_tasks(cluster):
    with multiprocessing.Manager() as manager:
        queue, lock = manager.Queue(), manager.Lock()
        list(cluster.map(put, range(20), [queue] * 20, [lock] * 20))
        assert sorted(queue.get(timeout=60) for _ in range(20)) == list(range(20))
        address = manager._address
    with pytest.raises(FileNotFoundError) as caught:
        cluster.submit(put, 1, queue, lock).result(60)
    assert f"multiprocessing's manager at {address!r} is out of reach of" in "".join(caught.value.__notes__)


def test_the_main_thread_runs_tasks(cluster):
    def thread():
        return threading.current_thread() is threading.main_thread()

    assert all(cluster.map(lambda _: thread(), range(20)))
    assert cluster.submit(tasks.add, 1).result(60) == 1

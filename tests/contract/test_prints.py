"""Prints of tasks appear on the driver's streams at once, in whole lines with the slot's name."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import pytest
import tasks

from hpcml.errors import WorkerDied

SECONDS = 100  # bound of waits, for busy computers


def print_until(path):
    """Print a line and a half, wait for a file, and print the rest."""
    print("a whole line")
    print("one half", end="", flush=True)
    _wait_for(path)
    print(" and the other")


def _wait_for(path):
    end = time.monotonic() + SECONDS
    while not os.path.exists(path):
        assert time.monotonic() < end, "the driver has not shown it"
        time.sleep(0.02)


def test_prints_of_a_long_task_are_shown_while_it_runs(cluster, capfd, tmp_path):
    future = cluster.submit(print_until, str(tmp_path / "shown"))
    shown, end = "", time.monotonic() + SECONDS
    while "] a whole line\n" not in shown:
        assert time.monotonic() < end
        time.sleep(0.05)
        shown += capfd.readouterr().out
    assert not future.done()
    (tmp_path / "shown").touch()
    future.result(SECONDS)
    shown += capfd.readouterr().out
    lines = [line.partition("] ")[2] for line in shown.splitlines()]
    assert lines == ["a whole line", "one half and the other"]


def print_as_c(number):
    library = ctypes.CDLL(None)
    library.puts(f"by C {number}".encode())
    library.fflush(None)
    os.system(f"echo by a shell {number}; echo complaint {number} >&2")
    subprocess.Popen([sys.executable, "-c", f"print('by a grandchild {number}')"]).wait()


def test_prints_of_children_and_c_libraries_are_shown_with_the_result(cluster, capfd):
    for number in range(3):
        cluster.submit(print_as_c, number).result(SECONDS)
        printed = capfd.readouterr()
        for what in ("C", "a shell", "a grandchild"):
            assert printed.out.count(f"] by {what} {number}\n") == 1, what
        assert printed.err.count(f"] complaint {number}\n") == 1


def print_for(seconds, lines):
    for line in range(lines):
        print("line", line)
        time.sleep(seconds / lines)
    return lines


def test_prints_of_a_task_are_shown_in_order_before_its_result(cluster, capfd):
    """A part of the prints arrives by way of the launcher, a part with the outcome."""
    futures = [cluster.submit(print_for, 1.3, 200) for _ in range(cluster.slots)]
    for future in futures:
        future.result(SECONDS)
    by_slot = {}
    for line in capfd.readouterr().out.splitlines():
        slot, _, message = line.partition("] ")
        by_slot.setdefault(slot, []).append(message)
    assert sorted(by_slot.values()) == [[f"line {n}" for n in range(200)]] * cluster.slots


def print_much(lines):
    for line in range(lines):
        sys.stdout.write(f"{line:06d} {'x' * 90}\n")


def test_long_output_is_complete_and_in_order(cluster, capfd):
    cluster.submit(print_much, 20_000).result(SECONDS)
    lines = capfd.readouterr().out.splitlines()
    assert [int(line.partition("] ")[2].split()[0]) for line in lines] == list(range(20_000))


def print_and_die_once(mark, way):
    """Print and die in the first call, in one of several ways."""
    if os.path.exists(mark):
        return "survived"
    open(mark, "w").close()
    print("last words")
    print("unfinished", end="", flush=True)
    if way == "exit":
        os._exit(11)
    os.kill(os.getpid(), way)


@pytest.mark.parametrize("way", ["exit", signal.SIGKILL, signal.SIGSEGV])
def test_prints_before_the_death_of_a_worker_are_shown(cluster, capfd, tmp_path, way):
    assert cluster.submit(print_and_die_once, str(tmp_path / "mark"), way).result(SECONDS) == "survived"
    printed = capfd.readouterr()
    assert printed.out.count("] last words\n") == 1
    assert printed.out.count("] unfinished\n") == 1
    if way == signal.SIGSEGV:
        assert "] Fatal Python error: Segmentation fault\n" in printed.err


def test_prints_of_each_try_of_a_killing_task_are_shown(cluster, capfd):
    def print_and_die():
        print("I die", flush=True)
        os._exit(3)

    with pytest.raises(WorkerDied):
        cluster.submit(print_and_die).result(SECONDS)
    assert capfd.readouterr().out.count("] I die\n") == 3


def test_bytes_that_are_no_text_are_replaced(cluster, capfd):
    def write():
        os.write(1, b"caf\xc3\xa9 \xff end\n")

    cluster.submit(write).result(SECONDS)
    printed = capfd.readouterr().out
    assert "] caf\u00e9 \ufffd end\n" in printed or "] caf" in printed


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_a_closed_standard_output_stops_no_task(engine, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, hpcml\n"
        "def print_much(n):\n    print('x' * 50_000)\n    return n\n"
        "with hpcml.Cluster(sys.argv[1], slots_per_node=2, progress=False) as cluster:\n"
        "    done = sum(cluster.map(print_much, range(200)))\n"
        "open('done', 'w').write(str(done))\n"
    )
    reader, writer = os.pipe()
    no_slurm = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    process = subprocess.Popen([sys.executable, script, engine], cwd=tmp_path, env=no_slurm, stdout=writer)
    os.close(writer)
    os.close(reader)
    process.wait(SECONDS)
    assert (tmp_path / "done").read_text() == str(sum(range(200)))


def test_tasks_without_prints_show_nothing(cluster, capfd):
    assert list(cluster.map(tasks.add, range(100))) == list(range(100))
    assert capfd.readouterr() == ("", "")

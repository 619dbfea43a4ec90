"""What tasks print arrives where they would have printed it, whole lines with the slot's name, as it comes."""

import ctypes
import os
import signal
import subprocess
import sys
import time

import pytest
import tasks

from hpcml.errors import WorkerDied

SECONDS = 100  # bounds of waits, for machines that have much else to do


def speak_until(path):
    """Say something, go on when somebody has heard it, and end the line that was begun."""
    print("a whole line")
    print("one half", end="", flush=True)
    _wait_for(path)
    print(" and the other")


def _wait_for(path):
    end = time.monotonic() + SECONDS
    while not os.path.exists(path):
        assert time.monotonic() < end, "nobody has heard it"
        time.sleep(0.02)


def test_a_long_task_is_heard_while_it_runs(cluster, capfd, tmp_path):
    future = cluster.submit(speak_until, str(tmp_path / "heard"))
    heard, end = "", time.monotonic() + SECONDS
    while "] a whole line\n" not in heard:
        assert time.monotonic() < end
        time.sleep(0.05)
        heard += capfd.readouterr().out
    assert not future.done()
    (tmp_path / "heard").touch()
    future.result(SECONDS)
    heard += capfd.readouterr().out
    lines = [line.partition("] ")[2] for line in heard.splitlines()]
    assert lines == ["a whole line", "one half and the other"]


def speak_as_c(number):
    library = ctypes.CDLL(None)
    library.puts(f"by C {number}".encode())
    library.fflush(None)
    os.system(f"echo by a shell {number}; echo complaint {number} >&2")
    subprocess.Popen([sys.executable, "-c", f"print('by a grandchild {number}')"]).wait()


def test_children_and_c_libraries_are_heard_when_the_result_is_there(cluster, capfd):
    for number in range(3):
        cluster.submit(speak_as_c, number).result(SECONDS)
        printed = capfd.readouterr()
        for what in ("C", "a shell", "a grandchild"):
            assert printed.out.count(f"] by {what} {number}\n") == 1, what
        assert printed.err.count(f"] complaint {number}\n") == 1


def speak_for(seconds, lines):
    for line in range(lines):
        print("line", line)
        time.sleep(seconds / lines)
    return lines


def test_all_of_a_task_is_shown_before_its_result_and_in_order(cluster, capfd):
    """Part of it comes by way of the launcher, part of it with the outcome."""
    futures = [cluster.submit(speak_for, 1.3, 200) for _ in range(cluster.slots)]
    for future in futures:
        future.result(SECONDS)
    by_slot = {}
    for line in capfd.readouterr().out.splitlines():
        slot, _, said = line.partition("] ")
        by_slot.setdefault(slot, []).append(said)
    assert sorted(by_slot.values()) == [[f"line {n}" for n in range(200)]] * cluster.slots


def speak_much(lines):
    for line in range(lines):
        sys.stdout.write(f"{line:06d} {'x' * 90}\n")


def test_much_is_neither_lost_nor_disordered(cluster, capfd):
    cluster.submit(speak_much, 20_000).result(SECONDS)
    lines = capfd.readouterr().out.splitlines()
    assert [int(line.partition("] ")[2].split()[0]) for line in lines] == list(range(20_000))


def last_words(mark, way):
    """Die the first time, in one of several ways, with something printed."""
    if os.path.exists(mark):
        return "survived"
    open(mark, "w").close()
    print("last words")
    print("unfinished", end="", flush=True)
    if way == "exit":
        os._exit(11)
    os.kill(os.getpid(), way)


@pytest.mark.parametrize("way", ["exit", signal.SIGKILL, signal.SIGSEGV])
def test_what_a_worker_said_before_it_died_is_shown(cluster, capfd, tmp_path, way):
    assert cluster.submit(last_words, str(tmp_path / "mark"), way).result(SECONDS) == "survived"
    printed = capfd.readouterr()
    assert printed.out.count("] last words\n") == 1
    assert printed.out.count("] unfinished\n") == 1
    if way == signal.SIGSEGV:
        assert "] Fatal Python error: Segmentation fault\n" in printed.err


def test_a_poisonous_task_says_all_its_last_words(cluster, capfd):
    def say_and_die():
        print("I die", flush=True)
        os._exit(3)

    with pytest.raises(WorkerDied):
        cluster.submit(say_and_die).result(SECONDS)
    assert capfd.readouterr().out.count("] I die\n") == 3


def test_bytes_that_are_no_text(cluster, capfd):
    def speak():
        os.write(1, b"caf\xc3\xa9 \xff end\n")

    cluster.submit(speak).result(SECONDS)
    printed = capfd.readouterr().out
    assert "] caf\u00e9 \ufffd end\n" in printed or "] caf" in printed


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_nobody_who_reads_does_not_stop_tasks(engine, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, hpcml\n"
        "def speak(n):\n    print('x' * 50_000)\n    return n\n"
        "with hpcml.Cluster(sys.argv[1], slots_per_node=2, progress=False) as cluster:\n"
        "    done = sum(cluster.map(speak, range(200)))\n"
        "open('done', 'w').write(str(done))\n"
    )
    reader, writer = os.pipe()
    no_slurm = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    process = subprocess.Popen([sys.executable, script, engine], cwd=tmp_path, env=no_slurm, stdout=writer)
    os.close(writer)
    os.close(reader)
    process.wait(SECONDS)
    assert (tmp_path / "done").read_text() == str(sum(range(200)))


def test_what_prints_nothing_shows_nothing(cluster, capfd):
    assert list(cluster.map(tasks.add, range(100))) == list(range(100))
    assert capfd.readouterr() == ("", "")

"""Faults F1 to F24 on engine mpi, three nodes: a search equals one process, whatever is lost.

=========  ======================================================================================================
F1-3, F17  test_deaths_of_workers_cost_their_own_fits
F4         test_a_relay_that_is_killed_ends_the_step_which_is_started_again; there is no controller: see F5
F5         test_a_lost_node_is_left_out_and_used_again_when_it_is_back: also the node that has the link
F6, F9     test_deadlines.py: the driver's part; the steps end as those of F8 and of any closed Cluster
F7, F8     test_a_killed_driver_and_a_cancelled_job_leave_nothing_and_are_resumed
F10-14     tests/pure/journal: only the driver writes, of whatever engine
F15, F16   tests/contract, which run on engine mpi too
F18        test_starts_on_nodes_that_fail: a slow and a missing import
F19        test_networks_that_not_all_nodes_reach_are_not_used: 120 workers; each node has its own in one relay
F20        tests/pure/engines: questions are counted, pauses are of the monotonic clock
F21        test_networks_that_not_all_nodes_reach_are_not_used
F22        the kernel gives the link's port, tests/pure/engines/test_mpi_links.py; MPI chooses its own
F23        tests/pure/slurm reads the environment before an engine is known; a job that is over: test_starts_...
F24        test_slurmctld_that_does_not_answer
=========  ======================================================================================================
"""

import json
import math
import os
import signal
import sys
import time
from collections import Counter

import pytest
from patience import patient, promised, wait_until
from searches import FITS, SLOTS, Calls, Search, assert_equal, send
from test_start_faults import SPARE, Script, calls, odd_networks, salloc, slurmctld_frozen

RESTART_SECONDS = 10  # from a loss to the first fit of another step


def programs(cluster, node):
    """Return the process ids, on this computer, of a node's launcher, its relay and its workers."""
    found = [process for process in cluster.processes(node) if "mpi.launcher" in " ".join(process.argv)]
    return [process.pid for process in sorted(found, key=lambda process: process.node_pid)]


def first_of_another_step(search, lost, hosts=frozenset({"n1", "n2", "n3"})):
    """Wait for the first fit of a worker that was not there before; return the seconds since the loss."""
    old = {event[1:3] for event in search.events("begin") if event[-1] < lost}

    def after():
        return [e[-1] for e in search.events("begin") if e[1:3] not in old and e[1] in hosts and e[-1] > lost]

    wait_until(after)
    return min(after()) - lost


@pytest.mark.release("24.11")
def test_deaths_of_workers_cost_their_own_fits(cluster, expected):
    """Three workers are killed, one is stopped, and the three fits of an alpha kill each worker that runs them."""
    first, second = sorted(expected["param_alpha"])[:2]
    row = expected["param_alpha"].index(first)
    search = Search(cluster, 0.5, "kill", (first + second) / 2, engine="mpi").start()
    search.wait_ended(12)
    wait_until(search.running)
    stopped, when = search.running()[0], time.time()
    send(cluster, *stopped, signal.SIGSTOP)
    for share in (0.3, 0.5, 0.7):
        search.wait_ended(int(FITS * share))
        wait_until(lambda: set(search.running()) - {stopped})
        send(cluster, *next(place for place in search.running() if place != stopped), signal.SIGKILL)
    results = search.finish("mpi, F1 F2 F3 F17")
    assert_equal(results, expected, but={row})
    assert math.isnan(results["mean_test_score"][row])
    assert "SIGKILL" in search.errors
    assert "3 fits failed" in search.errors
    begun = Counter(event[0] for event in search.events("begin"))
    poisonous = {fit: begun.pop(fit) for fit in list(begun) if float(fit.split("/")[0]) == first}
    assert list(poisonous.values()) == [3] * 3
    assert search.lost == 3
    assert sum(begun.values()) - len(begun) <= 4
    frozen = [event[0] for event in search.events("begin") if event[1:3] == stopped][-1]
    assert max(event[-1] for event in search.events("begin") if event[0] == frozen) - when < promised(14)


@pytest.mark.release("24.11")
def test_a_relay_that_is_killed_ends_the_step_which_is_started_again(cluster, expected):
    search = Search(cluster, seconds=0.4, engine="mpi").start()
    search.wait_ended(60)
    ended = time.time()
    os.kill(programs(cluster, "n2")[1], signal.SIGKILL)
    after = first_of_another_step(search, ended)
    assert_equal(search.finish(f"mpi, a killed relay, another step after {after:.1f} s"), expected)
    assert after < promised(RESTART_SECONDS)
    assert search.lost == 0
    early = {event[0] for event in search.events("end") if event[-1] < ended - 1}
    assert not early & {event[0] for event in search.repeats(after=ended)}
    starts = search.errors.count("starting another")
    assert 1 <= starts <= 2  # Open MPI may crash once at the start of a step
    assert search.repeated <= 2 * SLOTS * starts


CRASHING = """
import importlib, os, sys

del sys.modules["mpi4py"]
sys.path.remove(os.path.dirname(os.path.dirname(__file__)))
if os.environ.get("SLURM_PROCID") == "1":
    try:
        os.unlink("crash")
    except FileNotFoundError:
        pass
    else:
        from mpi4py import MPI

        print("==== backtrace (tid:    264) ====", file=sys.stderr, flush=True)
        MPI.COMM_WORLD.Abort(14)
sys.modules["mpi4py"] = importlib.import_module("mpi4py")
"""
FEW = """
import hpcml
with hpcml.Cluster(engine="mpi") as cluster:
    print(cluster.slots, sum(cluster.map(abs, range(1000))))
"""


@pytest.mark.release("24.11")
def test_a_library_that_crashes_at_the_start_is_started_again(cluster):
    """UCX does so at times; srun's status is then that of the library."""
    package = cluster.shared_dir / "first" / "mpi4py"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(CRASHING)
    crash = cluster.write("crash", "")
    run = ["salloc", "-Q", "-N2", sys.executable, cluster.write("few.py", FEW)]
    done = cluster.run(run, env={"PYTHONPATH": str(package.parent)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["2", "499500"]
    assert not crash.exists()
    assert "starting another" in done.stderr


MANY = """
import hpcml
with hpcml.Cluster() as cluster:
    print(cluster.slots, sum(cluster.map(abs, range(1000))))
"""


@pytest.mark.release("22.05")
def test_mpi_is_chosen_above_256_slots(cluster):
    script = cluster.write("many.py", MANY)
    run = [sys.executable, "-m", "hpcml", "run", "--timeout", "200", "--slots-per-node", "86", script]
    done = cluster.run(["salloc", "-Q", "-N3", *run], timeout=250)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["258", "499500"]
    assert "hpcml: engine mpi (above 256 slots; Open MPI 4.1.4 by pmix), 258 slots on n1, n2, n3" in done.stderr


LOSSES = [
    pytest.param("kill_node", "n1", marks=pytest.mark.release("22.05"), id="the node that has the link is killed"),
    pytest.param("cut_node", "n3", marks=pytest.mark.release("24.11"), id="a node is cut off"),
]


@pytest.mark.parametrize(("harm", "node"), LOSSES)
def test_a_lost_node_is_left_out_and_used_again_when_it_is_back(cluster, expected, harm, node):
    """The driver is on the login node; the job outlives the node by salloc --no-kill."""
    search = Search(cluster, seconds=patient(0.5), engine="mpi").start("--no-kill")
    search.wait_ended(24)
    lost = time.time()
    getattr(cluster, harm)(node)
    others = {"n1", "n2", "n3"} - {node}
    after = first_of_another_step(search, lost, others)
    cluster.mend()
    mended = time.time()
    assert_equal(search.finish(f"mpi, {harm}, another step after {after:.1f} s", timeout=150), expected)
    print(search.errors)
    assert after < promised(RESTART_SECONDS)
    assert search.lost == 0
    assert search.repeated <= 2 * SLOTS + (SLOTS // 3 if harm == "cut_node" else 0)  # that node runs on
    early = {event[0] for event in search.events("end") if event[-1] < lost - 1}
    assert not early & {event[0] for event in search.repeats(after=lost)}
    assert f"{node} no longer answers: starting another step" in search.errors
    assert f"{node} is back: its slots are used again" in search.errors
    back = [event for event in search.events("begin") if event[1] == node and event[-1] > mended]
    assert len({event[2] for event in back[-8:]}) == 4


@pytest.mark.release("24.11")
def test_a_cluster_ends_in_time_whatever_is_stopped(cluster):
    """A stopped launcher is continued by its relay; where both are stopped, MPI's end hangs for real."""
    with salloc(cluster) as script:
        for stopped, bound in ((slice(0, 1), 10), (slice(0, 2), 20)):
            assert script.open(engine="mpi", timeout=patient(30))["slots"] == 6
            assert script.ask({"run": [12, 0.0]})["sum"] == 66
            for process in programs(cluster, "n2")[stopped]:
                os.kill(process, signal.SIGSTOP)
            closed = script.ask({"close": True})["seconds"]
            print(f"closed after {closed:.1f} s")
            assert closed < promised(bound)
            wait_until(lambda: not cluster.call(["squeue", "--steps", "--noheader"]).stdout, 15)
            wait_until(lambda: not any(cluster.files(node) for node in cluster.nodes), 15)


@pytest.mark.release("22.05")
def test_a_killed_driver_and_a_cancelled_job_leave_nothing_and_are_resumed(cluster, expected_calls):
    search = Calls(cluster, engine="mpi", resume=True, seconds=0.3).start()
    search.wait_ended(48)
    (driver,) = [p for p in cluster.processes("login") if "counted_calls.py" in " ".join(p.argv[:2])]
    os.kill(driver.pid, signal.SIGKILL)
    search.process.communicate(timeout=patient(30))
    wait_until(lambda: not any(cluster.processes(node) for node in cluster.nodes), 15)
    search.start().wait_ended(96)
    job = cluster.call(["squeue", "--noheader", "--format=%i"]).stdout.strip()
    cluster.run(["scancel", job], check=True)
    errors = search.process.communicate(timeout=patient(30))[1]
    assert search.process.returncode != 0, "without its job, the driver cannot go on"
    assert "Slurm has ended the job" in errors
    assert errors.count("starting another") <= 1
    wait_until(lambda: not any(cluster.processes(node) for node in cluster.nodes), 15)
    assert_equal(search.start().finish("mpi, F7 F8"), expected_calls)
    assert search.lost == 0
    assert search.repeated <= 4 * SLOTS  # a worker has its next fit already


@pytest.mark.release("22.05")
def test_starts_on_nodes_that_fail(cluster):
    text = (
        "import os, sys, time\n"
        "if os.uname().nodename == 'n2':\n"
        "    sys.modules[os.environ.get('ABSENT', '')] = None\n"
    )
    cluster.write("sitecustomize.py", text)
    slow = "import os, time\nprint('slowly')\nos.uname().nodename == 'n2' and time.sleep(600)\n"
    directory = cluster.write("slow_module.py", slow).parent
    path = {"PYTHONPATH": f"{directory}:{os.environ.get('PYTHONPATH', '')}"}
    limit = patient(5)
    with salloc(cluster, **path) as script:
        some = script.open(engine="mpi", timeout=limit, preload=["slow_module"], min_slots=3)
        assert (some["slots"], some["hosts"]) == (6, ["n1", "n3"])
        assert some["seconds"] < limit + promised(1)
        assert script.ask({"run": [12, 0.0]})["sum"] == 66
    warned = script.process.stderr.read()
    assert f"4 of 6 workers came within {limit:.1f} s" in warned
    assert "n2 has no worker; its log ends with\n    1: slowly\n" in warned
    assert "Continuing with 4, as min_slots=3 allows" in warned
    with salloc(cluster, ABSENT="mpi4py", **path) as script:
        failed = script.open(engine="mpi", timeout=patient(20))
        assert failed["seconds"] < promised(10), "as soon as it is known"
        assert "1: ModuleNotFoundError: import of mpi4py halted" in failed["error"]
    left = [line for line in cluster.run(["salloc", "-Q", "-N2", "-n2", "env"]).stdout.splitlines()
            if line.startswith("SLURM_") and "CONF" not in line]  # fmt: skip
    with Script(cluster, "env", *left) as script:
        failed = script.open(engine="mpi", timeout=patient(20))
        assert "If that is a job which is over, forget it:  unset ${!SLURM_@}" in failed["error"]
        assert failed["seconds"] < promised(SPARE)


@pytest.mark.release("24.11")
def test_networks_that_not_all_nodes_reach_are_not_used(cluster):
    """F21, and F19 in the same job."""
    with odd_networks(cluster), salloc(cluster) as script:
        assert script.open(engine="mpi", timeout=patient(20), slots_per_node=40)["slots"] == 120
        assert script.ask({"run": [480, 0.0]})["sum"] == sum(range(480))


@pytest.mark.release("22.05")
def test_slurmctld_that_does_not_answer(cluster):
    """A start waits for slurmctld until its timeout; a running Cluster continues, and asks it nothing."""
    with salloc(cluster) as script:
        with slurmctld_frozen(cluster):
            failed = script.open(engine="mpi", timeout=patient(2))
        assert "Slurm has not started the workers. `scontrol ping` shows whether it answers" in failed["error"]
        assert failed["seconds"] < patient(2) + promised(SPARE)
        with slurmctld_frozen(cluster):
            script.process.stdin.write(json.dumps({"open": {"engine": "mpi", "timeout": patient(30)}}) + "\n")
            script.process.stdin.flush()
            time.sleep(2)
        assert script.answer()["slots"] == 6, "it was asked again"
        with slurmctld_frozen(cluster):
            assert script.ask({"run": [60, 0.05]})["sum"] == 1770
        before = calls(cluster)
        assert script.ask({"run": [150, 0.1]})["seconds"] > 2
        assert calls(cluster) == before, "a run in steady state asks Slurm nothing"

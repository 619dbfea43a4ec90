"""Faults of workers, nodes and the controller during a search: its result is the same."""

import math
import os
import random
import shutil
import signal
import time
from collections import Counter

import pytest
from patience import promised, wait_until
from searches import FITS, SLOTS, Calls, Search, assert_equal, send


def kill_in_the_midst_of_a_fit(cluster, search):
    """Kill a worker whose fit has not ended, however late the signal arrives; return the time, and its node."""
    while True:
        assert search.process.poll() is None, search.process.communicate()
        wait_until(search.running)
        host, pid = search.running()[0]
        send(cluster, host, pid, signal.SIGSTOP)
        if (host, pid) in search.running():
            killed = time.time()
            send(cluster, host, pid, signal.SIGKILL)
            return killed, host
        send(cluster, host, pid, signal.SIGCONT)


@pytest.mark.release("22.05")
def test_f1_a_worker_that_is_killed_costs_its_own_fit(cluster, expected):
    search = Search(cluster).start()
    search.wait_ended(FITS * 4 // 10)
    killed, host = kill_in_the_midst_of_a_fit(cluster, search)
    assert_equal(search.finish("F1"), expected)
    assert (search.lost, search.repeated) == (0, 1)
    (again,) = search.repeats(after=killed)
    assert again[-1] - killed < promised(2)
    workers = {event[1:3] for event in search.events("begin") if event[-1] > killed + 0.5}
    assert len({worker for worker in workers if worker[0] == host}) == 4  # one of them has replaced the killed one


@pytest.mark.release("22.05")
def test_f2_repeated_kills_cost_one_fit_each(cluster, expected_calls):
    chance = random.Random(2)
    search = Calls(cluster, seconds=0.4, retries=20).start()  # chance may kill a fit several times
    search.wait_ended(12)
    killed = []
    while search.process.poll() is None and len(search.events("end")) < FITS - 12:
        running = [place for place in search.running() if place not in killed]  # those will never end
        if running:
            killed.append(chance.choice(running[:8]))
            send(cluster, *killed[-1], signal.SIGKILL)
        time.sleep(0.8)
    assert_equal(search.finish(f"F2, {len(killed)} kills"), expected_calls)
    assert len(killed) >= 4
    assert search.lost == 0
    assert search.repeated <= len(killed)


@pytest.mark.release("24.11")
def test_f3_a_frozen_worker_is_replaced(cluster, expected):
    search = Search(cluster, seconds=0.8).start()
    search.wait_ended(12)
    wait_until(search.running)
    (host, pid), frozen = search.running()[0], time.time()
    send(cluster, host, pid, signal.SIGSTOP)
    assert_equal(search.finish("F3"), expected)
    assert (search.lost, search.repeated) == (0, 1)
    (again,) = search.repeats(after=frozen)
    assert again[-1] - frozen < promised(12)
    assert "no longer answers" in search.errors


@pytest.mark.release("24.11")
def test_f4_a_killed_controller_is_replaced(cluster, expected_calls):
    search = Calls(cluster).start()
    search.wait_ended(60)
    programs = [p for node in cluster.nodes for p in cluster.processes(node)]
    killed = time.time()
    os.kill(min(p.pid for p in programs if "controller" in " ".join(p.argv)), signal.SIGKILL)
    assert_equal(search.finish("F4"), expected_calls)
    assert search.lost == 0
    assert search.repeated <= 2 * SLOTS  # a worker has its next fit already
    early = {event[0] for event in search.events("end") if event[-1] < killed - 0.5}
    assert not early & {event[0] for event in search.repeats(after=killed)}
    assert "the controller ended with status" in search.errors


@pytest.mark.release("24.11")
@pytest.mark.parametrize("harm", ["kill_node", "cut_node"])
def test_f5_a_search_continues_without_a_lost_node(cluster, expected, harm):
    search = Search(cluster).start()
    search.wait_ended(60)
    lost = time.time()
    getattr(cluster, harm)("n3")
    assert_equal(search.finish(f"F5 {harm}"), expected)
    if harm == "cut_node":  # Slurm kills what is on it when it is back; the next run there would sweep
        cluster.restore_node("n3")
        wait_until(lambda: not any("hpcml.engines" in " ".join(p.argv) for p in cluster.processes("n3")), 60)
        for name in cluster.files("n3"):
            shutil.rmtree(cluster.seen_by("n3", f"/dev/shm/{name}"))
    assert search.lost == 0
    assert search.repeated <= (4 if harm == "kill_node" else 8)  # a node that runs on begins its next tasks
    assert all(event[-1] - lost < promised(15) for event in search.repeats(after=lost + 1))


@pytest.mark.release("22.05")
def test_f5_a_search_continues_without_the_controllers_node(cluster, expected):
    """The driver is on the login node, as where salloc gives no interactive step."""
    search = Search(cluster).start()
    search.wait_ended(60)
    lost = time.time()
    cluster.kill_node("n1")
    assert_equal(search.finish("F5 controller's node"), expected)
    assert search.lost == 0
    assert search.repeated <= 2 * SLOTS
    assert "the controller on n1 no longer answers: starting another elsewhere" in search.errors
    assert max(event[-1] for event in search.events("begin")) - lost < promised(45)


@pytest.mark.release("22.05")
def test_a_frozen_node_is_used_again(cluster, expected_calls):
    search = Calls(cluster, seconds=1.2).start()
    search.wait_ended(24)
    cluster.freeze_node("n3")
    time.sleep(10)
    cluster.thaw_node("n3")
    thawed = time.time()
    assert_equal(search.finish("thawed"), expected_calls)
    assert search.lost == 0
    late = [event for event in search.events("begin") if event[-1] > thawed + 0.5]
    assert len({pid for _, host, pid, _ in late if host == "n3"}) == 4


MESSAGES = {"kill": "SIGKILL", "hang": "task_timeout=2"}  # other ends: tests/contract/test_prints.py


@pytest.mark.release("22.05")
@pytest.mark.parametrize(("harm", "message"), MESSAGES.items(), ids=MESSAGES)
def test_f17_a_fit_that_kills_its_workers_has_its_error_score(cluster, expected, harm, message):
    first, second = sorted(expected["param_alpha"])[:2]
    row = expected["param_alpha"].index(first)
    limit = 2 if harm == "hang" else None
    search = Search(cluster, 0.3, harm, (first + second) / 2, task_timeout=limit).start()
    results = search.finish(f"F17 {harm}")
    assert_equal(results, expected, but={row})
    assert math.isnan(results["mean_test_score"][row])
    assert message in search.errors, search.errors[-3000:]
    assert "3 fits failed" in search.errors
    begun = Counter(event[0] for event in search.events("begin"))
    poisonous = [count for fit, count in begun.items() if float(fit.split("/")[0]) == first]
    assert poisonous == [1 if harm == "hang" else 3] * 3
    assert search.lost == 3

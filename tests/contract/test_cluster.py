"""Behaviours of a `concurrent.futures.Executor`, and hpcml's own promises, on every engine."""

import os
import sys
import threading
import time
from concurrent.futures import CancelledError, wait

import pytest
import tasks
from patience import promised

import hpcml
from hpcml.errors import TaskError, WorkerDied


def test_submit_returns_the_value(cluster):
    assert cluster.submit(tasks.add, 2, b=3).result(20) == 5


def test_the_driver_takes_no_slot(cluster):
    assert tasks.who()[0] not in {worker for worker, _ in cluster.map(tasks.slow_who, [0.05] * 12)}


def test_every_slot_runs_tasks(cluster):
    futures = [cluster.submit(tasks.slow_who, 0.5) for _ in range(cluster.slots)]
    workers = [future.result(20) for future in futures]
    assert len(set(workers)) == cluster.slots
    assert {name.split(":")[0] for name, _ in workers} == set(cluster.hosts)


def test_map_keeps_order_and_zips_several_iterables(cluster):
    assert list(cluster.map(tasks.add, range(5000), range(1, 5001))) == [2 * n + 1 for n in range(5000)]
    assert list(cluster.map(tasks.add, [1, 2, 3], [10])) == [11]


def test_lambdas_and_closures_are_sent(cluster):
    factor = 3
    assert list(cluster.map(lambda n: factor * n, range(4))) == [0, 3, 6, 9]


def test_an_exception_keeps_its_type_and_names_the_worker(cluster):
    with pytest.raises(KeyError, match="number 3") as caught:
        cluster.submit(tasks.fail_at, 3, 3).result(20)
    cause = str(caught.value.__cause__)
    assert "fail_at" in cause
    assert cluster.hosts[0].split(".")[0] in cause or any(host in cause for host in cluster.hosts)


def test_an_exception_that_does_not_unpickle_keeps_its_type(cluster):
    with pytest.raises(tasks.PickyError) as caught:
        cluster.submit(tasks.picky).result(20)
    assert (caught.value.number, caught.value.reason) == (7, "because")


def test_a_task_that_calls_exit_fails(cluster):
    with pytest.raises(TaskError, match=r"called sys.exit\(\)"):
        cluster.submit(sys.exit).result(60)


def test_sys_exit_in_a_task_is_the_tasks_error(cluster):
    with pytest.raises(SystemExit):
        cluster.submit(tasks.leave).result(20)
    assert cluster.submit(tasks.add, 1).result(20) == 1


def test_a_failing_task_does_not_disturb_its_neighbours(cluster):
    futures = [cluster.submit(tasks.fail_at, number, 7) for number in range(20)]
    wait(futures, timeout=20)
    assert [bool(future.exception()) for future in futures] == [number == 7 for number in range(20)]


def test_an_unpicklable_argument_is_named_at_once(cluster):
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"(?s)\[0\]\[1\]\['key'\].*_thread\.lock"):
        cluster.submit(tasks.add, [1, {"key": lock}])


def test_an_unpicklable_closure_is_named(cluster):
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"variable lock.*_thread\.lock"):
        cluster.submit(lambda: lock)


def test_an_unpicklable_result_is_an_error_not_a_hang(cluster):
    with pytest.raises(TaskError, match="generator.*cannot be sent back"):
        cluster.submit(tasks.unpicklable_result).result(20)


def test_within_a_task_the_cluster_runs_calls_in_the_task(cluster):
    here, there = cluster.submit(tasks.who_and_mapped_who, cluster).result()
    assert there == [here, here]


def test_map_times_out_and_frees_the_workers(cluster):
    with pytest.raises(TimeoutError):
        list(cluster.map(tasks.slow_who, [30] * cluster.slots, timeout=0.5))
    began = time.monotonic()
    assert cluster.submit(tasks.add, 1).result(30) == 1
    assert time.monotonic() - began < promised(15)


def test_cancel_before_the_start(cluster):
    blockers = [cluster.submit(tasks.slow_who, 1.0) for _ in range(3 * cluster.slots)]
    future = cluster.submit(tasks.add, 1)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(0)
    wait(blockers, timeout=30)


def test_a_dead_worker_costs_only_its_own_task(cluster, tmp_path):
    others = [cluster.submit(tasks.slow_who, 0.2) for _ in range(4 * cluster.slots)]
    assert cluster.submit(tasks.die, str(tmp_path / "died")).result(30) == "survived"
    assert len([future.result(30) for future in others]) == 4 * cluster.slots


def test_a_task_that_kills_its_workers_fails_naming_them(cluster):
    with pytest.raises(WorkerDied, match=r"ended 3 workers .*:\d, .*:\d, .*:\d"):
        cluster.submit(tasks.always_die).result(60)
    assert len(set(cluster.map(tasks.slow_who, [0.2] * 8 * cluster.slots))) == cluster.slots


def test_prints_and_warnings_reach_the_driver(cluster, capfd):
    with pytest.warns(RuntimeWarning, match="mind the gap") as caught:
        assert list(cluster.map(tasks.shout, range(6))) == list(range(6))
        time.sleep(0.1)
    printed = capfd.readouterr().out
    for number in range(6):
        assert f"] task {number} speaks" in printed
    assert printed.count(f"[{cluster.hosts[0]}:") >= 1
    assert len([warning for warning in caught if "gap" in str(warning.message)]) == 1


def test_shutdown_waits_for_the_last_task_and_then_refuses(tmp_path):
    cluster = hpcml.Cluster("local", slots_per_node=2, run_dir=tmp_path, progress=False)
    futures = [cluster.submit(tasks.slow_who, 0.3) for _ in range(4)]
    cluster.shutdown()
    assert all(future.done() and not future.exception() for future in futures)
    with pytest.raises(RuntimeError, match=r"shut down: open a new one with `hpcml.Cluster\(\)`"):
        cluster.submit(tasks.add, 1)
    cluster.shutdown()


@pytest.mark.parametrize("engine", ["local", "ipyparallel"])
def test_an_exception_in_the_block_ends_at_once_and_leaves_no_process(engine, tmp_path):
    began = time.monotonic()
    with (
        pytest.raises(LookupError),
        hpcml.Cluster(engine, slots_per_node=2, run_dir=tmp_path, progress=False) as cluster,
    ):
        found = list(cluster.map(tasks.slow_who, [0.2] * 2 * cluster.slots))
        futures = [cluster.submit(tasks.slow_who, 60) for _ in range(8)]
        raise LookupError
    assert time.monotonic() - began < promised(20)
    assert all(future.done() for future in futures)
    # Each node counts its own processes; the Slurm ring looks for processes left on other nodes after the job.
    pids = [pid for worker, pid in found if worker.startswith(f"{os.uname().nodename}:")]
    assert pids or "SLURM_JOB_ID" in os.environ
    assert not [pid for pid in pids if os.path.exists(f"/proc/{pid}")]

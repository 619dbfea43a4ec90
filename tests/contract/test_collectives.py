"""Workers as ranks of MPI on this computer, where mpirun starts them; and Clusters whose workers are none."""

import importlib.util
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from notebooks import displays, error, opened, value
from patience import wait_until

import hpcml
from hpcml.cluster.collectives import RankComm

RANKS = 3
TOTALS = [3] * RANKS

needs_mpi = pytest.mark.skipif(
    shutil.which("mpirun") is None or importlib.util.find_spec("mpi4py") is None,
    reason="there is no mpirun, or no mpi4py",
)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """A Cluster of three ranks."""
    directory = tmp_path_factory.mktemp("ranks")
    with hpcml.Cluster(mpi=True, slots_per_node=RANKS, run_dir=directory, progress=False) as cluster:
        yield cluster


def total(comm, *more):
    return comm.allreduce(comm.rank) + sum(more)


@needs_mpi
def test_all_workers_run_a_function_with_their_communicator(ranks):
    assert ranks.comm_map(lambda comm: (comm.rank, comm.size)) == [(rank, RANKS) for rank in range(RANKS)]
    assert ranks.comm.map(total, 4, 5) == [12] * RANKS
    assert ranks.comm.size == RANKS
    assert list(ranks.map(abs, [-1, 2])) == [1, 2]


def leave_a_message(comm, seconds):
    comm.isend("left", (comm.rank + 1) % comm.size)
    time.sleep(seconds)
    raise LookupError


def exchange(comm):
    request = comm.isend("new", (comm.rank + 1) % comm.size)
    found = comm.recv()
    request.wait()
    return found


@needs_mpi
def test_messages_that_a_failed_call_has_left_do_not_reach_the_next(ranks):
    with pytest.raises(LookupError):
        ranks.comm_map(leave_a_message, 0)
    assert ranks.comm_map(exchange) == ["new"] * RANKS


@needs_mpi
def test_they_do_not_reach_a_call_that_another_thread_has_made_meanwhile(ranks):
    with ThreadPoolExecutor(2) as threads:
        failing = threads.submit(ranks.comm_map, leave_a_message, 1)
        time.sleep(0.5)
        waiting = threads.submit(ranks.comm_map, exchange)
        assert isinstance(failing.exception(), LookupError)
        assert waiting.result() == ["new"] * RANKS


@needs_mpi
def test_the_workers_live_on_after_a_rank_that_others_wait_for(ranks):
    def fail(comm):
        if comm.rank == 2:
            raise LookupError("here")
        comm.Barrier()

    with pytest.raises(LookupError, match="here") as caught:
        ranks.comm_map(fail)
    assert caught.value.__notes__ == [f"on rank 2 of {RANKS}, {ranks.hosts[0]}:2"]
    assert ranks.comm_map(total) == TOTALS


@needs_mpi
def test_a_worker_that_is_killed_between_two_calls_is_replaced(ranks):
    processes = ranks.comm_map(lambda comm: os.getpid())
    os.kill(processes[1], signal.SIGKILL)
    wait_until(lambda: not os.path.exists(f"/proc/{processes[1]}"))
    wait_until(lambda: _total_or_death(ranks) == TOTALS)
    assert not set(processes) & set(ranks.comm_map(lambda comm: os.getpid()))


def _total_or_death(ranks):
    """Return the result of a call; None where it was sent before the loss of the rank was known."""
    try:
        return ranks.comm_map(total)
    except hpcml.errors.WorkerDied:
        return None


SUMS = "%%px\nfrom mpi4py import MPI\nprint(MPI.COMM_WORLD.rank, MPI.COMM_WORLD.allreduce(1))"


@needs_mpi
def test_a_notebook_uses_the_world_in_px_and_interrupts_a_call(tmp_path):
    def sums(notebook):
        """Return what the ranks have printed, in the order of the numbers of their engines."""
        shown = displays(notebook.run(SUMS))
        return [text.split(None, 1)[1].strip() for text in sorted(shown, key=lambda text: (len(text), text))]

    with opened(tmp_path) as notebook:
        assert not error(
            notebook.run(
                "import hpcml, pathlib, time\n"
                "cluster = hpcml.Cluster(mpi=True, slots_per_node=3, progress=False)\n"
                "client = cluster.client\n"
                "def wait(comm):\n    pathlib.Path('begun').touch()\n    comm.rank and comm.Barrier()\n"
                "    time.sleep(600)"
            )
        )
        assert sums(notebook) == ["0 3", "1 3", "2 3"]
        cell = notebook.run("cluster.comm_map(wait)", interrupt=(tmp_path / "begun").exists)
        assert error(cell) == "KeyboardInterrupt"
        assert value(notebook.run("cluster.comm_map(lambda comm: comm.allreduce(comm.rank))")) == "[3, 3, 3]"
        assert sums(notebook) == ["0 3", "1 3", "2 3"]
        assert not error(notebook.run("cluster.shutdown()"))


@needs_mpi
def test_programs_that_a_rank_starts_are_no_ranks(ranks):
    found = ranks.comm_map(lambda comm: [name for name in os.environ if name.startswith(("PMI", "OMPI_COMM"))])
    assert found == [[]] * RANKS


@needs_mpi
def test_a_task_cannot_begin_a_call_of_all(ranks):
    with pytest.raises(hpcml.errors.HpcmlError, match="comm_map is called in the script"):
        ranks.comm_map(lambda comm: ranks.comm_map(total))


def test_workers_of_another_cluster_are_no_ranks():
    with (
        hpcml.Cluster(engine="local", slots_per_node=1, progress=False) as cluster,
        pytest.raises(hpcml.errors.HpcmlError, match=r'open Cluster\(engine="ipyparallel", mpi=True\)'),
    ):
        cluster.comm_map(total)


def test_engine_mpi_sends_tasks_and_has_no_ranks():
    with pytest.raises(ValueError, match="it must be 'ipyparallel' or 'auto'"):
        hpcml.Cluster(engine="mpi", mpi=True)


def test_the_scripts_handle_stays_in_the_script():
    with hpcml.Cluster(engine="local", slots_per_node=1, progress=False) as cluster:
        handle = RankComm(1, cluster.map)
        with pytest.raises(hpcml.errors.TaskError, match="a function of comm_map gets a communicator"):
            cluster.submit(repr, handle)

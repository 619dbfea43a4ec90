"""Ends of runs with engine scoop: exit status of the script, deaths of processes, and no process left."""

import os
import re
import signal
import time

from patience import patient, promised, wait_until
from scoop_runs import WORK, Run, parent, processes, workers

ENDS = {
    "list(futures.map(work, [1])); raise LookupError('lost')": (1, r"LookupError: lost"),
    "list(futures.map(work, [1])); sys.exit(7)": (7, "^$"),
    "sys.exit('message')": (1, "^message$"),
    "list(futures.map(raises_needs, [1]))": (1, "Needs: this and that"),
    "list(futures.map(exit_task, [5]))": (5, "^$"),
    "list(futures.map(lock, [1]))": (1, "the result of lock on .* cannot be sent: .*lock"),
    "list(futures.map(one_way, [1]))": (1, "result of one_way cannot be unpickled in the script's process: Val"),
    "list(futures.map(work, [threading.Lock()]))": (1, "the task work cannot be sent to a worker: .*lock"),
}


def test_the_exit_status_is_the_scripts_own(together):
    for main, done in together(WORK, {main: main for main in ENDS}).items():
        status, message = ENDS[main]
        assert done.status == status, (main, done.err)
        assert re.search(message, done.err), (main, done.err)


def test_errors_of_tasks_can_be_caught_and_the_pool_stays_usable(run):
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
    assert "define what is sent at its top level" in done.err


def test_a_script_that_workers_cannot_load_fails_with_its_error(tmp_path):
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
    for run, message in zip(runs, scripts.values(), strict=True):
        done = run.end()
        assert done.status == 1
        assert "ended while it started (exit code 1)" in done.err
        assert message in done.err


DEATHS = {
    "list(futures.map(leave, [3]))": "exit code 3",
    "list(futures.map(leave, [0]))": "exit code 0",
    "list(futures.map(kill_me, [3]))": "signal SIGKILL",
    "futures.submit(leave, 3); time.sleep(1.5)": "exit code 3",
    "futures.submit(leave, 3)\ntry:\n    futures.submit(sleep, 60).result()\nexcept Exception:\n    pass": "exit",
}


def test_a_worker_that_ends_in_a_task_fails_the_run(together):
    """Also when the script does not wait for the task, or ignores its error."""
    for main, done in together(WORK, {main: main for main in DEATHS}).items():
        assert done.status == 1, main
        assert f"of {os.uname().nodename} ended ({DEATHS[main]}" in done.err
        assert "its tasks are lost" in done.err


def test_an_idle_worker_that_is_killed_fails_the_run(start):
    """In SCOOP itself the broker dies when it sends to that worker, and the script waits for ever."""
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
    assert time.monotonic() - began < promised(10)


def test_a_killed_node_program_fails_the_run(start):
    run = start(WORK, main="list(futures.map(sleep, [60, 60]))")
    run.line()
    os.kill(parent(workers(run.mark)[0]), signal.SIGKILL)
    done = run.end()
    assert done.status == 1
    assert "the step of the workers ended with status -9" in done.err


def test_a_failed_broker_fails_the_run(run):
    """The broker is a thread of the script's process."""
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
IDLE = "list(futures.map(work, range(4)))\nprint('idle', flush=True)\ntime.sleep(600)"


def test_a_signal_to_the_launching_process_ends_the_run(tmp_path):
    """While its workers are busy, and while they are idle, which is the worst case in SCOOP itself."""
    main = "try:\n    list(futures.map(sleep, [600, 600]))\nfinally:\n    open('tidy', 'w').close()"
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
    """A forked child, as of multiprocessing, that outlives a killed script."""
    run = start(WORK, main="if os.fork() == 0:\n    time.sleep(600)\nlist(futures.map(sleep, [600, 600]))")
    run.line()
    run.process.kill()

    def node_programs():
        return [argv for argv in processes(run.mark).values() if "hpcml.engines.scoop.node" in argv]

    wait_until(lambda: not node_programs(), 15, node_programs)
    assert len(processes(run.mark)) == 1
    for pid in processes(run.mark):
        os.kill(pid, signal.SIGKILL)
    run.end()


def test_a_running_task_does_not_delay_the_end(run):
    """Nor does a process that the task has started; both end with the run."""
    script = """
        import subprocess, time
        from scoop import futures
        def sleep(seconds):
            open("started", "x").close()
            subprocess.run(["sleep", str(seconds)])
    """
    main = """
        import os
        futures.submit(sleep, 600)
        while not os.path.exists("started"):
            time.sleep(0.05)
        print("end")
    """
    began = time.monotonic()
    done = run(script, main=main)
    assert (done.status, done.out) == (0, "end\n"), done.err
    assert time.monotonic() - began < promised(15)


def test_workers_that_do_not_connect_are_named(run):
    script = "import scoop, time\nif not scoop.IS_ORIGIN:\n    time.sleep(600)\n"
    seconds = patient(2)
    done = run(script, options=(f"--timeout={seconds}",))
    assert done.status == 1
    assert f"not all workers have connected within {seconds:g} s" in done.err
    assert f"{os.uname().nodename} lacks the workers of slots 0, 1" in done.err
    assert f"--timeout={4 * seconds:g}" in done.err

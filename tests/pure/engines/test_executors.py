"""loky's executors of engine local: one process each, and directories that do not outlive a killed driver."""

import os
import subprocess
import sys
from pathlib import Path

from patience import patient, wait_until

from hpcml.engines.local.executors import WorkerExecutor

KILLED = """
import os, signal, sys
from hpcml.engines.local.executors import removed_after_a_kill
for name in ("kept", "left"):
    os.mkdir(name)
with removed_after_a_kill(["kept"]):
    pass
with removed_after_a_kill(["left"]):
    print("registered", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_executor_has_one_process_with_the_variables_that_it_is_started_with():
    executor = WorkerExecutor(os.getpid, (), {"HPCML_STARTED_WITH": "this"})
    process = executor.submit(os.getpid).result(patient(60))
    assert process != os.getpid()
    assert executor.process_ids == [process]
    assert executor.submit(os.getenv, "HPCML_STARTED_WITH").result(patient(60)) == "this"
    executor.kill(wait=True)
    assert executor.process_ids == []
    wait_until(lambda: not Path(f"/proc/{process}").exists())


def test_registered_directories_are_removed_after_a_kill(tmp_path):
    command = [sys.executable, "-c", KILLED]
    done = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False
    )
    assert done.stdout == "registered\n"
    wait_until(lambda: not (tmp_path / "left").exists())
    assert (tmp_path / "kept").exists()

"""Child processes that are talked to."""

import queue
from pathlib import Path

from hpcml.process import Program


def test_a_program_that_has_ended_has_its_status(tmp_path: Path):
    """srun closes its output some time before it ends; what is said of its end needs its exit status."""
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    argv = ["sh", "-c", "echo '{\"a\": 1}'; exec >&-; sleep 0.3; exit 7"]
    program = Program("child", argv, {"PATH": "/usr/bin:/bin"}, inbox, tmp_path / "log")
    assert inbox.get(timeout=5) == (program, {"a": 1})
    assert inbox.get(timeout=5) == (program, None)
    assert program.status == 7
    program.stop()

"""Child processes that exchange messages with this one."""

import queue
from pathlib import Path

import pytest
from patience import patient

from hpcml.errors import CommandError
from hpcml.slurm.process import Program, run


def test_the_status_is_known_when_the_output_ends(tmp_path: Path):
    """srun closes its output some time before it ends; the message about its end needs the exit status."""
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    argv = ["sh", "-c", "echo '{\"a\": 1}'; exec >&-; sleep 0.3; exit 7"]
    program = Program("child", argv, {"PATH": "/usr/bin:/bin"}, inbox, tmp_path / "log")
    assert inbox.get(timeout=patient(5)) == (program, {"a": 1})
    assert inbox.get(timeout=patient(5)) == (program, None)
    assert program.status == 7
    program.stop()


def test_lines_that_are_no_messages_go_to_the_log(tmp_path: Path):
    inbox: queue.SimpleQueue = queue.SimpleQueue()
    lines = ["7", "[1, 2]", "null", '"text"', "NaN", "{", '{"a": 1}', "0: 8", '0: {"b": 2}']
    program = Program("child", ["printf", "%s\\n", *lines], {"PATH": "/usr/bin:/bin"}, inbox, tmp_path / "log")
    assert [inbox.get(timeout=patient(5))[1] for _ in range(3)] == [{"a": 1}, {"b": 2}, None]
    assert (tmp_path / "log").read_text().splitlines() == ["7", "[1, 2]", "null", '"text"', "NaN", "{", "0: 8"]
    program.stop()


def test_a_message_shows_a_command_without_the_programs_among_its_words():
    with pytest.raises(CommandError, match=r"^`sh -c … srun` ") as caught:
        run(["sh", "-c", "true\nexit 3", "srun"])
    assert "exit 3" not in str(caught.value)

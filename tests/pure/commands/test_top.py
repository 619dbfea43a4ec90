"""`hpcml top`: the state of a run by its journal, and its picture."""

import json
import os

import pytest
from reports import EVIL, end, name, session, task, two_sessions, write
from rich.console import Console

from hpcml.commands import main as cli
from hpcml.commands.top.screen import draw
from hpcml.commands.top.state import RunState


def now(time, waiting=0, **running):
    return {"now": time, "running": running, "waiting": waiting}


def state_of(*heads):
    state = RunState("run")
    for head in heads:
        state.add(head)
    return state


def picture(state, time, width=100, height=30, note=""):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with console.file:
        console.print(draw(state, time, width, height, note))
        return console.export_text()


def rows(text):
    """Return the cells of the table, by the name of the slot or host."""
    table = text[text.index("slot ") :].splitlines()[1:]
    return {line.split()[0]: line.split()[1:] for line in table if line.strip()}


RUN = [
    session(slots={"n1": 2}),
    name(0, "__main__.fit"),
    {"expect": "g", "tasks": 10},
    task("n1:0", 1000.0, 4.0, m=300),
    task("n1:1", 1000.0, 5.0, m=200, error="ValueError"),
    {"now": 1007.0, "running": {"n1:0": [0, 1004.0]}, "waiting": 6, "left": 100},
]


def test_what_the_slots_do():
    text = picture(state_of(*RUN), 1010.0)
    assert text.splitlines()[:2] == ["run", "runs for 10 s, job 7, driver on n1"]
    assert "1 of 10 tasks done, 1 failed, 6 wait\n1 of 2 slots on 1 host busy, 0.2 tasks/s\n" in text
    assert rows(text) == {
        "n1:0": ["fit", "6", "s", "1", "100", "%", "300", "MB"],
        "n1:1": ["idle", "1", "1", "50", "%", "200", "MB"],
    }


@pytest.mark.parametrize("width", [60, 80, 100])
def test_the_bar_has_a_line_of_its_own(width):
    lines = [line.rstrip() for line in picture(state_of(*RUN), 1010.0, width).splitlines()]
    assert set(lines[2]) <= set("━╸╺ ")
    assert lines[3] == "1 of 10 tasks done, 1 failed, 6 wait"


def test_the_time_that_is_left():
    text = picture(state_of(*RUN), 1010.0)
    assert "done in about 40 s, the job has 1 min 37 s left for tasks" in text
    assert "tasks/min" in picture(state_of(*RUN), 1050.0)
    unlimited = [*RUN, now(1011.0)]
    assert "left for tasks" not in picture(state_of(*unlimited), 1011.0)


def test_the_end_of_a_task_comes_before_the_next_announcement():
    ended = state_of(*RUN, task("n1:0", 1004.0, 7.0))
    assert rows(picture(ended, 1012.0))["n1:0"][:2] == ["fit", "short"]
    assert rows(picture(ended, 1020.0))["n1:0"][0] == "idle"
    dead = state_of(*RUN, {"death": "n1:0", "t": 1008.0, "cause": "killed", "tasks": ["fit"]})
    text = picture(dead, 1010.0)
    assert "1 worker died" in text
    assert rows(text)["n1:0"][0] == "idle"
    given_up = state_of(*RUN, now(1008.0, **{"n1:0": None}))
    assert rows(picture(given_up, 1010.0))["n1:0"][0] == "idle"


def test_a_run_that_has_ended():
    state = state_of(
        *RUN, {"keys": ["a", "b"], "salt": "v", "name": 0, "at": "n1:1", "t": 1010, "s": 2}, end(1020)
    )
    text = picture(state, state.time)
    assert "ended after 20 s" in text
    assert "3 of 10 tasks done" in text
    assert "0 of 2 slots" in text
    assert "done in" not in text
    assert rows(text)["n1:1"][0] == "idle"


def test_the_last_session_counts_and_the_tasks_of_all():
    state = state_of(*two_sessions())
    assert (state.session, state.done, state.failed, state.deaths) == (2, 4, 1, 1)
    assert "session 2" in picture(state, state.time)
    assert state.slots["n1:0"].tasks == 0


def test_a_call_of_longer_tasks_has_a_rate_of_its_own():
    quick = [task("n1:0", 1000.0 + n / 100, 0.01) for n in range(1000)]
    slow = [{"expect": "next", "tasks": 10}, task("n1:0", 1010.0, 10.0), task("n1:1", 1010.0, 10.0)]
    state = state_of(session(slots={"n1": 2}), name(0, "f"), {"expect": "g", "tasks": 1000}, *quick, *slow)
    assert state.rate(1020.0) == pytest.approx(0.2)
    assert state.seconds_left(1020.0) == pytest.approx(40.0)


@pytest.mark.parametrize(("slots", "height", "lines"), [(8, 16, 8), (28, 16, 6), (28, 11, 3), (28, 4, 3)])
def test_the_picture_fits_the_terminal(slots, height, lines):
    hosts = {f"node{number}": slots // 4 for number in range(6 if slots > 8 else 4)}
    state = state_of(session(slots=hosts), name(0, "f"), {"expect": "g", "tasks": 10})
    text = picture(state, 1010.0, 80, height)
    assert len(text.splitlines()) <= max(height, 11)
    found = rows(text)
    assert len(found) == lines
    assert ("…" in found) == (lines < 6)


def test_names_cannot_steer_the_terminal():
    heads = [
        session(host=EVIL, job=EVIL, slots={EVIL: 1}),
        name(0, EVIL + "[red]"),
        task(f"{EVIL}:0", 1000.0, 1.0),
    ]
    text = picture(state_of(*heads, now(1003.0, **{f"{EVIL}:1": [0, 1001.0]})), 1004.0, 200, note="[b]x")
    assert "\x1b" not in text.replace("\\x1b", "")
    assert "[b]x" in text


def test_the_command_for_a_run_that_has_ended(tmp_path, capsys):
    directory = write(tmp_path / "run", two_sessions())
    assert cli.main(["top", str(directory)]) == 0
    printed = capsys.readouterr().out
    assert "ended after 20 s" in " ".join(printed.split())
    assert "4 tasks done, 1 failed" in printed
    assert printed.endswith("\n")
    assert printed.count("ended after") == 1


def test_the_command_takes_the_run_that_was_written_to_last(tmp_path, monkeypatch, capsys):
    for number, script in enumerate(("one", "two")):
        write(tmp_path / ".hpcml" / script, two_sessions())
        (tmp_path / ".hpcml" / f"last-{script}").write_text(script)
        os.utime(tmp_path / ".hpcml" / script / "journal", (number, number))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["top"]) == 0
    assert "two\nended" in capsys.readouterr().out


def test_a_driver_that_is_gone_is_named(tmp_path, capsys):
    directory = write(tmp_path / "run", RUN)
    lost = {"host": "n9", "boot": "b", "pids": "p", "pid": 77, "started": 1, "job": "7", "restart": 0}
    (directory / "lease-1").write_text(json.dumps(lost))
    (directory / "lease-1").chmod(0o600)
    assert cli.main(["top", "--once", str(directory)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "No record for" in out, "Slurm is not asked about another host"
    from hpcml.journal.lease import this_process

    own = {**vars(this_process()), "started": 1}
    (directory / "lease-1").write_text(json.dumps(own))
    assert cli.main(["top", str(directory)]) == 0
    assert f"The driver, process {os.getpid()} on " in " ".join(capsys.readouterr().out.split())


def test_a_wrong_interval_is_an_error(capsys):
    with pytest.raises(SystemExit):
        cli.main(["top", "--interval", "0"])
    assert "0 is no number of seconds from 0.1 to 86,400" in capsys.readouterr().err

"""A driver that is killed and restarted repeats no finished call, and ends with the results of one process."""

import os
import pickle
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from engines import ENGINES

PROGRAM = Path(__file__).parent / "helpers" / "resumable.py"
# Tasks after which the driver is killed, in each session: what is recorded when does not depend on the engine.
KILLED = {"local": (1, 17, 30), "ipyparallel": (17,), "mpi": (30,)}


class Session(NamedTuple):
    """End of one start of the program."""

    code: int
    number: int
    known: int
    executed: list[str]
    results: dict[str, Any] | None
    errors: str


def start(place, engine, limit=0, **environment):
    """Run the program once."""
    number = len(list(place.glob("executed-*")))
    executed, results = place / f"executed-{number}", place / f"results-{number}"
    executed.touch()
    environment = {"EXECUTED": str(executed), "RESULTS": str(results), "LIMIT": str(limit), **environment}
    with open(place / f"err-{number}", "w+") as err, open(place / f"out-{number}", "w+") as out:
        code = subprocess.run(  # into files, for workers that are ending may keep a pipe open
            [sys.executable, PROGRAM, engine],
            env={**os.environ, **environment},
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            timeout=100,
            check=False,
        ).returncode
        out.seek(0)
        err.seek(0)
        session, known = map(int, out.read().split() or (0, 0))
        errors = err.read()
    found = pickle.loads(results.read_bytes()) if results.exists() else None
    return Session(code, session, known, executed.read_text().splitlines(), found, errors)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return the results of one process, without hpcml."""
    session = start(tmp_path_factory.mktemp("one"), "none")
    assert session.code == 0, session.errors
    return session.results


class Sessions(NamedTuple):
    """Sessions of a run: those whose driver was killed after so many tasks each, and three that ended."""

    limits: tuple[int, ...]
    killed: list[Session]
    last: Session
    again: Session
    other: Session


@pytest.fixture(scope="module", params=ENGINES)
def sessions(request, tmp_path_factory):
    """Kill the program a few times, let it end, start it once more, and once with other versions."""
    place = tmp_path_factory.mktemp(request.param)
    limits = KILLED[request.param]
    killed = [start(place, request.param, limit) for limit in limits]
    last, again = start(place, request.param), start(place, request.param)
    return Sessions(limits, killed, last, again, start(place, request.param, OTHER_VERSION="1"))


def compare(found, expected, timings):
    """Check that results are equal: those of searches in all columns, but for times unless `timings`."""
    assert set(found) == set(expected)
    for name, value in expected.items():
        if isinstance(value, dict):
            assert list(found[name]) == list(value)
            for column in value:
                if timings or "time" not in column:
                    np.testing.assert_array_equal(found[name][column], value[column], err_msg=f"{name} {column}")
        else:
            assert found[name] == value, name


def test_a_killed_driver_leaves_its_finished_tasks_recorded(sessions):
    known = 0
    for number, (session, limit) in enumerate(zip(sessions.killed, sessions.limits, strict=True)):
        assert session.code == -signal.SIGKILL, session.errors
        assert (session.number, session.known) == (number + 1, known)
        known += limit
    assert (sessions.last.number, sessions.last.known) == (len(sessions.limits) + 1, known)


def test_no_finished_call_runs_again(sessions):
    """The tasks that ran in the last session and the recorded ones are all tasks together."""
    _, _, last, again, other = sessions
    assert last.code == 0, last.errors
    everything = Counter(other.executed)
    assert len(last.executed) == everything.total() - sum(sessions.limits)
    assert not Counter(last.executed) - everything
    assert everything.total() > 70
    assert again.executed == ["refuse 1"]  # only the task that raised runs again


def test_only_tasks_in_flight_run_again(sessions):
    """Only the frames of short tasks whose outcome had not arrived run again."""
    ran = Counter(line for session in (*sessions.killed, sessions.last) for line in session.executed)
    repeated = (ran - Counter(sessions.other.executed)).total()
    in_flight = zip(sessions.killed, sessions.limits, strict=True)
    assert repeated <= sum(len(session.executed) - limit for session, limit in in_flight)


def test_results_equal_those_of_one_process(sessions, expected):
    for session in sessions[2:]:
        found = {name: value for name, value in session.results.items() if name not in ("tickets", "refused")}
        compare(found, {name: value for name, value in expected.items() if name != "tickets"}, timings=False)
        assert session.results["refused"] == "KeyError(1)"


def test_recorded_times_are_used_again(sessions):
    compare(sessions.again.results, sessions.last.results, timings=True)


def test_equal_calls_have_a_result_each(sessions):
    tickets = sessions.last.results["tickets"]
    assert len(set(tickets)) == 5
    assert sessions.again.results["tickets"] == tickets
    assert not set(sessions.other.results["tickets"]) & set(tickets)


def test_no_warning_is_printed(sessions):
    for session in (sessions.killed[0], sessions.last, sessions.again):
        assert "cannot be recognised" not in session.errors
        assert "recorded" not in session.errors
        assert "Traceback" not in session.errors
    assert sessions.again.errors == ""


def test_other_versions_run_all_tasks_again_with_a_message(sessions):
    other = sessions.other
    assert other.code == 0, other.errors
    assert (other.number, other.known) == (len(sessions.limits) + 3, 0)
    count = len(other.executed) - 1  # without the task that raised
    assert f"{count} recorded tasks run again, for versions have changed: scipy" in other.errors

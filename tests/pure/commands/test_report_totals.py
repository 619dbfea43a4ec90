"""Numbers of a report; all expected values are worked out by hand from `two_sessions`."""

import pytest
from reports import end, report_of, session, task, two_sessions

from hpcml.commands.report.model import Task
from hpcml.commands.report.notes import notes
from hpcml.commands.report.text import render_text
from hpcml.commands.report.totals import span


def test_counts_and_times_of_tasks():
    report = report_of(*two_sessions())
    assert (report.done, report.failed, report.done_later, report.repeated) == (4, 1, 1, 0)
    fit, score = report.functions
    assert (fit.name, fit.done, fit.failed, fit.busy, fit.mean, fit.longest) == ("lib.fit", 3, 1, 20, 5, 8)
    assert (score.name, score.done, score.busy) == ("lib.score", 1, 10)
    (failure,) = report.failures
    assert (failure.function, failure.error, failure.count, failure.slots) == (
        "lib.fit",
        "ValueError",
        1,
        ["n1:1"],
    )


def test_ends_and_times_of_sessions():
    first, second = report_of(*two_sessions()).sessions
    assert (first.end_reason, first.wall, first.tasks, first.failed, first.deaths) == ("requeued", 10, 3, 1, 1)
    assert (second.end_reason, second.wall, second.tasks, second.busy) == ("ended", 20, 2, 18)


def test_busy_and_idle_time_of_the_slots():
    report = report_of(*two_sessions())
    assert report.wall == 30
    assert report.slot_seconds == 4 * 30
    assert report.busy == 4 + 5 + 3 + 8 + 10
    assert report.efficiency == 0.25
    assert report.core_hours_used == pytest.approx(30 * 2 / 3600)
    assert report.core_hours_allocated == pytest.approx(30 * 8 / 3600)
    # first session: n1:1 waits 1 s; n1:0 1 s between; n1:1 6 s after; n2:0, n2:1 unused
    # second: n1:1 waits 2 s, then 10 s; n2:0 10 s after; n1:0, n2:1 unused
    assert report.idle == {"before": 3, "between": 1, "after": 26, "unused": 60}
    # first: 1 s of one, 3 s of two, 1 s of none, 5 s of one; second: 2 s of one, 8 s of two, 10 s of none
    assert report.levels == {0: 11, 1: 8, 2: 11}


def test_tasks_and_memory_of_each_slot():
    slots = {slot.name: slot for slot in report_of(*two_sessions()).slots}
    assert list(slots) == ["n1:0", "n1:1", "n2:0", "n2:1"]
    assert [slots["n1:0"].peak, slots["n2:0"].peak, slots["n2:1"].peak] == [150, 900, 0]
    assert (slots["n1:1"].tasks, slots["n1:1"].failed, slots["n1:1"].busy, slots["n1:1"].seconds) == (
        2,
        1,
        11,
        30,
    )
    assert slots["n2:0"].deaths == 1


def test_a_death_has_its_cause_and_its_tasks():
    (death,) = report_of(*two_sessions()).deaths
    assert (death.worker, death.cause, death.tasks, death.session) == (
        *("n2:0", "ended: signal SIGKILL"),
        *({"lib.fit": 2}, 0),
    )


def test_slots_are_in_the_order_of_their_numbers():
    report = report_of(session(slots={"n10": 1, "n9": 11}), end(1001.0))
    assert [slot.name for slot in report.slots][-3:] == ["n9:9", "n9:10", "n10:0"]


def test_tasks_that_ran_again_are_counted():
    report = report_of(
        session(), task("n1:0", 1000.0, 1.0, "v1:a"), session(2, 2000.0), task("n1:0", 2000.0, 1.0, "v2:a")
    )
    assert report.repeated == 1
    assert "1 task ran again though done before" in render_text(report)


@pytest.mark.parametrize(
    ("start", "seconds", "expected"),
    [
        (1002.0, 3.0, (1002, 1005)),
        (990.0, 5.0, (1000, 1005)),
        (1008.0, 5.0, (1008, 1010)),
        (5000.0, 1.0, (1010, 1010)),
    ],
)
def test_a_task_is_cut_to_its_session(start, seconds, expected):
    report = report_of(session(), end(1010.0))
    assert span(report, Task(0, 0, 0, start, seconds, False)) == expected


def test_much_data_with_each_task_is_noted():
    tasks = [task("n1:0", 1000.0 + number, 1.0, str(number)) for number in range(8)]
    little, much = (report_of(session(), *tasks, end(1010.0) | {"sent": sent}) for sent in (4_000_000, 24_000_000))
    assert much.sessions[0].sent_nbytes == 24_000_000
    assert not notes(little)
    assert "24 MB were sent with 8 tasks, 3 MB with each" in " ".join(render_text(much).split())

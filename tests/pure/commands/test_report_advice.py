"""Advice of a report: slots, memory and time of the next job."""

from reports import end, report_of, session, task, two_sessions

from hpcml.commands.report.advice import advise, enough_slots, wall_with


def test_the_time_with_fewer_slots():
    levels = {0: 5.0, 2: 10.0, 8: 10.0}
    assert wall_with(8, levels) == 25
    assert wall_with(4, levels) == 5 + 10 + 20
    assert wall_with(1, levels) == 5 + 20 + 80
    assert enough_slots(levels) == 7  # 5 + 10 + 80 / 7 is less than 27.5, with 80 / 6 more


def test_a_tail_asks_for_fewer_slots():
    heads = [session(slots={"n1": 8}, cpus=8, cpus_per_slot=1)]
    heads += [task(f"n1:{number}", 1000.0, 10.0, m=1000) for number in range(8)]
    heads += [task("n1:0", 1010.0, 190.0, m=1000), end(1200.0)]
    slots, memory, seconds = advise(report_of(*heads))
    # 80 slot-seconds and a long task; with n slots 10 * 8 / n + 190 <= 220, so n = 3: 216.7 s
    assert slots == (
        "--ntasks=3",
        "1.4 of 8 slots were busy on average; 3 would have taken 8 % more time and 59 % less core-hours",
    )
    assert memory.option == "--mem=9600M"
    assert "8 workers on n1 peaked at 7.8 GB" in memory.reason
    assert "--mem-per-cpu=1200M" in memory.reason
    assert seconds.option == "--time=00:07:00"  # 216.7 * 1.25 + 120 = 391 s


def test_full_slots_ask_for_as_many():
    heads = [session(slots={"n1": 2}, cpus_per_slot=2)]
    heads += [task(f"n1:{slot}", 1000.0 + 10 * number, 10.0) for slot in range(2) for number in range(10)]
    first, *_ = advise(report_of(*heads, end(1100.0)))
    assert first.option == "--ntasks=2 --cpus-per-task=2"
    assert first.reason == "2.0 of 2 slots were busy on average; more could help"


def test_granted_memory_is_named_where_it_is_known():
    reasons = [
        advise(report_of(session(**about), task("n1:0", 1000.0, 1.0), end(1001.0)))[1].reason
        for about in ({}, {"memory": {"n1": 4000}})
    ]
    assert "granted" not in reasons[0]
    assert "peaked at 100 MB of 3.9 GB granted" in reasons[1]


def test_without_a_peak_there_is_no_advice_on_memory():
    report = report_of(session(), task("n1:0", 1000.0, 1.0, m=0), end(1001.0))
    assert [advice.option.partition("=")[0] for advice in advise(report)] == ["--ntasks", "--time"]


def test_a_death_by_signal_is_a_hint_to_memory():
    assert "for want of memory" in advise(report_of(*two_sessions()))[1].reason

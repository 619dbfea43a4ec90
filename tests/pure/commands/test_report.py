"""The report of a run: its numbers by hand, its pictures as small as they should be, its names harmless."""

import html.parser
import json
import os
import random
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from hpcml.commands import main as cli
from hpcml.commands.report.advice import advise, enough_slots, wall_with
from hpcml.commands.report.command import find_run, plain_data, read_run
from hpcml.commands.report.from_journal import make_report
from hpcml.commands.report.html import render_html
from hpcml.commands.report.text import render_text
from hpcml.commands.report.timeline import busy_slots, histogram, make_grid, make_rows
from hpcml.errors import HpcmlError
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.private_files import create_secret
from hpcml.journal.records import HEADER_BYTES, Damage, Record

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {"html", "head", "meta", "title", "style", "body", "header", "section", "h1", "h2", "p", "div", "b"}
ALLOWED |= {"span", "code", "table", "tr", "th", "td", "svg", "g", "path", "rect", "text"}
EVIL = "<script>alert('\"&amp;')</script>\x1b[31m\n\ud800"


def session(number=1, began=1000.0, **about):
    usual = {"host": "n1", "pid": 1, "job": "7", "restart": 0, "versions": {"python": "3.11"}}
    usual |= {"engine": "ipyparallel", "slots": {"n1": 2, "n2": 2}, "cpus": 8, "cpus_per_slot": 2}
    return {"session": number, "began": began, **usual, **about}


def name(number, text):
    return {"name": number, "is": text}


def task(at, start, seconds, key="", *, of=0, m=100, **error):
    return {"task": key, "name": of, "at": at, "t": start, "s": seconds, "m": m, **error}


def end(time, how="ended"):
    return {"end": how, "t": time}


def report_of(*heads, run="run"):
    return make_report([Record(head, 0, 0) for head in heads], run)


def two_sessions():
    """A run of 4 slots: 10 s until it was requeued, 20 s after that."""
    return [
        session(1, 1000.0),
        name(0, "lib.fit"),
        task("n1:0", 1000.0, 4.0, "a"),
        task("n1:0", 1005.0, 5.0, "b", m=150),
        task("n1:1", 1001.0, 3.0, "c", error="ValueError"),
        {"death": "n2:0", "t": 1006.0, "cause": "n2:0 ended: signal SIGKILL", "tasks": ["lib.fit", "lib.fit"]},
        session(2, 2000.0, restart=1),
        name(1, "lib.score"),
        task("n1:1", 2002.0, 8.0, "c"),
        task("n2:0", 2000.0, 10.0, "d", of=1, m=900),
        end(2020.0),
    ]


def write(directory, heads, body=b"x" * 40):
    """Write a journal as a run does."""
    directory.mkdir(mode=0o700, parents=True)
    journal = JournalFile(directory / "journal", create_secret(directory / "key"))
    for head in heads:
        journal.append(head, body)
    journal.close()
    return directory


class TestNumbers:
    """All expected values are worked out by hand from `two_sessions`."""

    def test_tasks(self):
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

    def test_sessions(self):
        first, second = report_of(*two_sessions()).sessions
        assert (first.how, first.wall, first.tasks, first.failed, first.deaths) == ("requeued", 10, 3, 1, 1)
        assert (second.how, second.wall, second.tasks, second.busy) == ("ended", 20, 2, 18)

    def test_use_of_the_slots(self):
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

    def test_slots(self):
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

    def test_deaths(self):
        (death,) = report_of(*two_sessions()).deaths
        assert (death.worker, death.cause, death.tasks, death.session) == (
            *("n2:0", "ended: signal SIGKILL"),
            *({"lib.fit": 2}, 0),
        )

    def test_slots_are_in_the_order_of_their_numbers(self):
        report = report_of(session(slots={"n10": 1, "n9": 11}), end(1001.0))
        assert [slot.name for slot in report.slots][-3:] == ["n9:9", "n9:10", "n10:0"]

    def test_tasks_that_ran_again(self):
        report = report_of(
            session(), task("n1:0", 1000.0, 1.0, "v1:a"), session(2, 2000.0), task("n1:0", 2000.0, 1.0, "v2:a")
        )
        assert report.repeated == 1
        assert "1 task ran again though done before" in render_text(report)

    def test_grid(self):
        report = report_of(*two_sessions())
        grid = make_grid(report, make_rows(report, 10), 6)  # of 5 s
        assert [[round(cell.share, 3) for cell in line] for line in grid] == [
            [0.8, 1, 0, 0, 0, 0],
            [0.6, 0, 0.6, 1, 0, 0],
            [0, 0, 1, 1, 0, 0],
            [0, 0, 0, 0, 0, 0],
        ]
        assert [(row, cell) for row in range(4) for cell in range(6) if grid[row][cell].died] == [(2, 1)]
        assert [(row, cell) for row in range(4) for cell in range(6) if grid[row][cell].failed] == [(1, 0)]
        assert grid[2][2].function == 1
        columns = busy_slots(grid)
        assert [round(busy, 3) for busy, _ in columns] == [1.4, 1, 1.6, 2, 0, 0]
        assert {there for _, there in columns} == {4}

    def test_a_slot_is_there_in_its_own_sessions_only(self):
        report = report_of(session(slots={"a": 1}), end(1010.0), session(2, 2000.0, slots={"b": 1}), end(2010.0))
        grid = make_grid(report, make_rows(report, 10), 2)
        assert [[cell.there for cell in line] for line in grid] == [[1, 0], [0, 1]]

    def test_rows_are_hosts_where_there_are_many_slots(self):
        report = report_of(session(slots={f"n{number}": 8 for number in range(100)}), end(1001.0))
        assert [row.label for row in make_rows(report, 800)][:2] == ["n0:0", "n0:1"]
        assert [row.label for row in make_rows(report, 100)][:2] == ["n0 (8 slots)", "n1 (8 slots)"]
        rows = make_rows(report, 48)
        assert len(rows) == 34
        assert rows[0].label == "n0 to n2 (24 slots)"
        assert sorted(slot for row in rows for slot in row.slots) == list(range(800))

    def test_histogram(self):
        tasks = [task("n1:0", 1000.0, seconds) for seconds in (1, 3, 5, 50, 100)]
        report = report_of(session(), *tasks, end(2000.0))
        edges, counts = histogram(report, bins=2)
        assert edges == pytest.approx([1, 10, 100])
        assert counts == [3, 2]
        same = report_of(session(), task("n1:0", 1000.0, 2.0), task("n1:0", 1002.0, 2.0), end(2000.0))
        assert histogram(same) == ([2, 2], [2])


class TestAdvice:
    def test_the_time_with_fewer_slots(self):
        levels = {0: 5.0, 2: 10.0, 8: 10.0}
        assert wall_with(8, levels) == 25
        assert wall_with(4, levels) == 5 + 10 + 20
        assert wall_with(1, levels) == 5 + 20 + 80
        assert enough_slots(levels) == 7  # 5 + 10 + 80 / 7 is less than 27.5, with 80 / 6 more

    def test_a_tail_asks_for_fewer_slots(self):
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

    def test_full_slots_ask_for_as_many(self):
        heads = [session(slots={"n1": 2}, cpus_per_slot=2)]
        heads += [task(f"n1:{slot}", 1000.0 + 10 * number, 10.0) for slot in range(2) for number in range(10)]
        first, *_ = advise(report_of(*heads, end(1100.0)))
        assert first.option == "--ntasks=2 --cpus-per-task=2"
        assert first.reason == "2.0 of 2 slots were busy on average; more could help"

    def test_memory_that_was_granted_is_told_where_it_is_known(self):
        reasons = [
            advise(report_of(session(**about), task("n1:0", 1000.0, 1.0), end(1001.0)))[1].reason
            for about in ({}, {"memory": {"n1": 4000}})
        ]
        assert "granted" not in reasons[0]
        assert "peaked at 100 MB of 3.9 GB granted" in reasons[1]

    def test_no_memory_is_told_where_none_is_known(self):
        report = report_of(session(), task("n1:0", 1000.0, 1.0, m=0), end(1001.0))
        assert [advice.option.partition("=")[0] for advice in advise(report)] == ["--ntasks", "--time"]

    def test_a_death_by_signal_is_a_hint_to_memory(self):
        assert "for want of memory" in advise(report_of(*two_sessions()))[1].reason


class TestWhatIsIncomplete:
    @pytest.mark.parametrize("heads", [[], [session()], [end(1000.0)], [session(), end(1000.0)], [name(0, "f")]])
    def test_nothing_was_done(self, heads):
        report = report_of(*heads)
        assert "no task has ended yet" in render_text(report)
        ET.fromstring(render_html(report))
        json.dumps(plain_data(report))

    def test_a_run_that_is_going(self):
        report = report_of(*two_sessions()[:-1])
        assert report.sessions[-1].how == "no end yet"
        assert report.sessions[-1].wall == 10  # until the last that is known
        assert "the last session has no end yet" in render_text(report)
        assert "so far" in advise(report)[-1].reason

    def test_a_session_that_was_killed(self):
        heads = [session(), task("n1:0", 1000.0, 1.0), session(2, 2000.0, job="8"), end(2001.0)]
        report = report_of(*heads)
        assert report.sessions[0].how == "cut off"
        assert "what was running when session 1 ended is not recorded" in render_text(report)

    def test_a_session_whose_record_is_lost(self):
        report = report_of(task("n1:0", 1005.0, 2.0), task("n1:3", 1001.0, 3.0), end(1010.0))
        (only,) = report.sessions
        assert (only.began, only.ended, only.how, only.tasks) == (1001, 1010, "ended", 2)
        assert [slot.name for slot in report.slots] == ["n1:0", "n1:3"]
        assert report.functions[0].name == "(name 0 is lost)"

    def test_what_follows_an_end_is_another_session(self):
        report = report_of(session(), end(1010.0), task("n1:0", 2000.0, 5.0), end(2007.0))
        times = [(found.number, found.began, found.wall) for found in report.sessions]
        assert times == [(1, 1000, 10), (2, 2000, 7)]

    def test_an_end_without_a_beginning_ends_nothing(self):
        assert [found.how for found in report_of(session(), end(1010.0), end(9999.0)).sessions] == ["ended"]

    def test_an_outcome_whose_times_are_lost(self):
        report = report_of(session(), task("n1:0", 0.0, 0.0, m=0, error="TaskError"), end(1010.0))
        assert (report.failed, report.wall, report.off_clock) == (1, 10, 0)
        ET.fromstring(render_html(report))
        assert report_of(task("n1:0", 0.0, 0.0), task("n1:0", 1000.0, 2.0)).wall == 2

    def test_a_clock_that_is_wrong(self):
        report = report_of(session(), task("n1:0", 5000.0, 3.0), task("n1:1", 20.0, 3.0), end(1010.0))
        assert report.off_clock == 2
        assert sum(report.levels.values()) == pytest.approx(10)
        assert "clocks of hosts differ" in render_text(report)
        ET.fromstring(render_html(report))

    def test_damage(self):
        items = [Damage(48, 20, False), *(Record(head, 0, 0) for head in two_sessions()), Damage(9000, 7, True)]
        report = make_report(items)
        assert "20 bytes of the journal at offset 48 are damaged" in render_text(report)
        assert "the last 7 bytes of the journal at offset 9,000 are no whole record" in render_text(report)

    def test_a_journal_that_is_cut_anywhere(self, tmp_path):
        directory = write(tmp_path / "run", two_sessions())
        whole = (directory / "journal").read_bytes()
        for size in range(HEADER_BYTES, len(whole), 7):
            with open(directory / "journal", "r+b") as file:
                file.truncate(0)
                file.write(whole[:size])
            report = read_run(directory)
            render_text(report)
            ET.fromstring(render_html(report))
            json.dumps(plain_data(report))
        assert report.done == 4

    def test_a_journal_that_is_damaged_anywhere(self, tmp_path):
        directory = write(tmp_path / "run", two_sessions())
        whole = (directory / "journal").read_bytes()
        for place in range(HEADER_BYTES, len(whole), 31):
            (directory / "journal").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            report = read_run(directory)
            assert len(report.damages) == 1
            assert "bytes of the journal" in render_text(report)
            ET.fromstring(render_html(report))

    def test_no_body_is_unpickled(self, tmp_path):
        bomb = b"cos\nsystem\n(S'touch " + bytes(tmp_path / "bomb") + b"'\ntR."
        report = read_run(write(tmp_path / "run", two_sessions(), bomb))
        assert report.done == 4
        assert not (tmp_path / "bomb").exists()


class TestNames:
    def evil(self):
        heads = [
            session(host=EVIL, job=EVIL, engine=EVIL, slots={EVIL: 1}, versions={EVIL: EVIL}),
            name(0, EVIL),
            task(f"{EVIL}:0", 1000.0, 1.0, error=EVIL),
            {"death": f"{EVIL}:1", "t": 1001.0, "cause": EVIL, "tasks": [EVIL, "<lambda>"]},
            end(1010.0, EVIL),
        ]
        items = [Record(head, 0, 0) for head in heads]
        return make_report(items, EVIL)

    def test_html(self):
        page = render_html(self.evil())
        root = ET.fromstring(page)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert "script" not in tags
        assert tags <= ALLOWED
        assert "<script>alert('\"&amp;')</script>\\x1b[31m \\ud800:0" in {
            element.text for element in root.iter("td")
        }
        assert all(
            not key.startswith("on") and "://" not in value.replace("http://www.w3.org/2000/svg", "")
            for element in root.iter()
            for key, value in element.attrib.items()
        )

    def test_html_for_a_browser(self):
        found = []

        class Parser(html.parser.HTMLParser):
            def handle_starttag(self, tag, attributes):
                found.append(tag)

        Parser().feed(render_html(self.evil()))
        assert "script" not in found
        assert "svg" in found

    def test_text(self):
        text = render_text(self.evil())
        assert all(char.isprintable() or char == "\n" for char in text)
        text.encode()
        assert "\\x1b[31m" in text

    def test_json(self):
        data = json.loads(json.dumps(plain_data(self.evil()), ensure_ascii=False).encode())
        assert data["failures"][0]["error"].startswith("<script>")


class TestText:
    @pytest.mark.parametrize("width", [20, 80, 100, 500])
    def test_it_fits(self, width):
        heads = two_sessions()
        heads[5]["cause"] = "a long story " * 50
        lines = render_text(report_of(*heads), width).splitlines()
        assert max(map(len, lines)) <= min(max(width, 80), 100)

    def test_without_unicode(self):
        text = render_text(report_of(*two_sessions()), 80, encoding="ascii")
        assert text.isascii()
        assert "n1:0  ######:-#######-" in text

    def test_the_timeline(self):
        text = render_text(report_of(*two_sessions()), 80)
        lines = {line.split()[0]: line for line in text.splitlines() if line.startswith("n")}
        assert "X" in lines["n2:0"]
        assert "!" in lines["n1:1"]
        assert lines["n1:0"].split()[-5:] == ["30", "%", "2", "150", "MB"]

    def test_it_says_what_matters_first(self):
        first, second, *_ = render_text(report_of(*two_sessions(), run=".hpcml/x")).splitlines()
        assert first == ".hpcml/x: 4 tasks done, 1 failed (1 done later), 1 worker died, 2 sessions"
        assert second == "25 % busy for 30 s, 4 slots on n1, n2, 0.0167 of 0.0667 core-hours used"


class TestSize:
    def big(self, slots, tasks, names=2):
        random.seed(1)
        hosts = {f"n{number}": 4 for number in range(slots // 4)}
        heads = [session(slots=hosts), *(name(number, f"f{number}") for number in range(names))]
        for number in range(tasks):
            error = {"error": "ValueError"} if random.random() < 0.01 else {}
            slot = random.randrange(slots)
            at = f"n{slot // 4}:{slot % 4}"
            heads.append(task(at, 1000 + random.random() * 1000, 0.05, str(number), of=number % names, **error))
        return heads

    def test_a_hundred_thousand_tasks(self, tmp_path):
        directory = write(tmp_path / "run", self.big(12, 100_000), b"")
        began = time.monotonic()
        report = read_run(directory)
        page, text = render_html(report), render_text(report)
        assert time.monotonic() - began < 15  # it takes 2.5 s
        assert report.done + report.failed == 100_000
        assert len(page) < 2_000_000
        assert page.count("<path") + page.count("<rect") < 500
        assert len(text) < 10_000

    def test_a_thousand_slots_and_many_names_deaths_and_sessions(self):
        heads = self.big(1000, 5000, names=300)
        heads += [{"death": "n1:1", "t": 1500.0, "cause": "it died", "tasks": ["f0"] * 500}] * 1000
        heads += [session(number, 2000.0 + number) for number in range(2, 300)]
        report = report_of(*heads)
        page, text = render_html(report), render_text(report)
        assert len(page) < 3_000_000
        assert len(text.splitlines()) < 200
        assert text.count("--json has all") == 3


class TestCommand:
    def run(self, *argv):
        return cli.main(["report", *map(str, argv)])

    def test_text_data_and_page(self, tmp_path, capsys):
        directory = write(tmp_path / "run", two_sessions())
        assert self.run(directory) == 0
        assert "4 tasks done" in " ".join(capsys.readouterr().out.split())  # lines end where the path has them end
        assert self.run(directory, "--json") == 0
        data = json.loads(capsys.readouterr().out)
        assert data["done"] == 4
        assert data["timeline"]["n2:1"] == [0] * 100
        assert data["advice"][0]["option"].startswith("--ntasks=")
        page = tmp_path / "page.html"
        assert self.run(directory, "--html", page) == 0
        assert capsys.readouterr().out == ""
        assert len(list(ET.fromstring(page.read_text()).iter(f"{SVG}svg"))) == 3

    def test_no_such_run(self, tmp_path, capsys):
        assert self.run(tmp_path / "none") == 1
        assert "none cannot be used: No such file" in capsys.readouterr().err
        (tmp_path / "empty").mkdir(mode=0o700)
        assert self.run(tmp_path / "empty") == 1
        assert "empty has no journal that can be read" in capsys.readouterr().err

    def test_a_page_that_cannot_be_written(self, tmp_path, capsys):
        directory = write(tmp_path / "run", two_sessions())
        assert self.run(directory, "--html", tmp_path / "none" / "page.html") == 1
        assert "page.html cannot be written: No such file" in capsys.readouterr().err

    def test_the_last_run(self, tmp_path, monkeypatch, capsys):
        base = tmp_path / ".hpcml"
        write(base / "one", two_sessions())
        (base / "last-a").write_text("one\n")
        (base / "last-gone").write_text("gone\n")
        monkeypatch.chdir(tmp_path)
        assert find_run(Path(".hpcml")) == Path(".hpcml/one")
        assert self.run() == 0
        assert capsys.readouterr().out.startswith(".hpcml/one: 4 tasks done")

    def test_several_last_runs(self, tmp_path):
        base = tmp_path / ".hpcml"
        for number, run in enumerate(["one", "two"]):
            write(base / run, two_sessions())
            (base / f"last-{run}").write_text(f"{run}\n")
            os.utime(base / run / "journal", (number, number))
        with pytest.raises(HpcmlError) as error:
            find_run(base)
        assert str(error.value).splitlines()[1:] == [f"  hpcml report {base}/two", f"  hpcml report {base}/one"]

    def test_no_run(self, tmp_path):
        with pytest.raises(HpcmlError, match="no run has a journal in .*hpcml report RUN"):
            find_run(tmp_path / ".hpcml")

    def test_a_reader_that_has_seen_enough(self, tmp_path):
        directory = write(tmp_path / "run", two_sessions())
        read, written = os.pipe()
        os.close(read)
        command = [sys.executable, "-m", "hpcml", "report", str(directory)]
        done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, timeout=60, check=True)
        os.close(written)
        assert done.stderr == b""

"""Journals and their reports, for the tests of `hpcml report`."""

from hpcml.commands.report.from_journal import make_report
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.private_files import create_secret
from hpcml.journal.records import Record

SVG = "{http://www.w3.org/2000/svg}"
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
    """Heads of a run of 4 slots: 10 s until the job was requeued, 20 s after that."""
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


def evil():
    heads = [
        session(host=EVIL, job=EVIL, engine=EVIL, slots={EVIL: 1}, versions={EVIL: EVIL}),
        name(0, EVIL),
        task(f"{EVIL}:0", 1000.0, 1.0, error=EVIL),
        {"death": f"{EVIL}:1", "t": 1001.0, "cause": EVIL, "tasks": [EVIL, "<lambda>"]},
        end(1010.0, EVIL),
    ]
    items = [Record(head, 0, 0) for head in heads]
    return make_report(items, EVIL)

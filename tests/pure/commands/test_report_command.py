"""`hpcml report`: the run that is meant, JSON data, and errors."""

import json
import os
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path

import pytest
from patience import patient, wait_until
from reports import SVG, evil, task, two_sessions, write

from hpcml.commands import main as cli
from hpcml.commands.report.command import find_run, plain_data
from hpcml.errors import HpcmlError
from hpcml.journal.journal_file import JournalFile
from hpcml.journal.private_files import read_secret


def test_names_in_json_are_whole():
    data = json.loads(json.dumps(plain_data(evil()), ensure_ascii=False).encode())
    assert data["failures"][0]["error"].startswith("<script>")


def report_main(*argv):
    return cli.main(["report", *map(str, argv)])


def test_text_json_and_page_of_a_run(tmp_path, capsys):
    directory = write(tmp_path / "run", two_sessions())
    assert report_main(directory) == 0
    # The length of the path decides where lines break.
    assert "4 tasks done" in " ".join(capsys.readouterr().out.split())
    assert report_main(directory, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [session["how"] for session in data["sessions"]] == ["requeued", "ended"]
    assert data["done"] == 4
    assert data["timeline"]["n2:1"] == [0] * 100
    assert data["advice"][0]["option"].startswith("--ntasks=")
    page = tmp_path / "page.html"
    assert report_main(directory, "--html", page) == 0
    assert capsys.readouterr().out == ""
    assert len(list(ET.fromstring(page.read_text()).iter(f"{SVG}svg"))) == 3


def test_a_directory_without_a_journal_is_an_error(tmp_path, capsys):
    assert report_main(tmp_path / "none") == 1
    assert "none cannot be used: No such file" in capsys.readouterr().err
    (tmp_path / "empty").mkdir(mode=0o700)
    assert report_main(tmp_path / "empty") == 1
    assert "empty has no journal that can be read" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_an_error(tmp_path, capsys):
    directory = write(tmp_path / "run", two_sessions())
    assert report_main(directory, "--html", tmp_path / "none" / "page.html") == 1
    assert "page.html cannot be written: No such file" in capsys.readouterr().err


def test_without_arguments_the_last_run_is_reported(tmp_path, monkeypatch, capsys):
    base = tmp_path / ".hpcml"
    write(base / "one", two_sessions())
    (base / "last-a").write_text("one\n")
    (base / "last-gone").write_text("gone\n")
    monkeypatch.chdir(tmp_path)
    assert find_run(Path(".hpcml")) == Path(".hpcml/one")
    assert report_main() == 0
    assert capsys.readouterr().out.startswith(".hpcml/one: 4 tasks done")


def test_several_last_runs_are_listed(tmp_path):
    base = tmp_path / ".hpcml"
    for number, run in enumerate(["one", "two"]):
        write(base / run, two_sessions())
        (base / f"last-{run}").write_text(f"{run}\n")
        os.utime(base / run / "journal", (number, number))
    with pytest.raises(HpcmlError) as error:
        find_run(base)
    assert str(error.value).splitlines()[1:] == [f"  hpcml report {base}/two", f"  hpcml report {base}/one"]


def test_without_a_run_the_error_shows_the_command(tmp_path):
    with pytest.raises(HpcmlError, match="no run has a journal in .*hpcml report RUN"):
        find_run(tmp_path / ".hpcml")


def test_a_reader_that_closes_the_pipe_is_no_error(tmp_path):
    directory = write(tmp_path / "run", two_sessions())
    read, written = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "hpcml", "report", str(directory)]
    done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, timeout=60, check=True)
    os.close(written)
    assert done.stderr == b""


def test_a_page_is_renewed_until_the_run_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("hpcml.commands.report.command.REFRESH_SECONDS", 0.05)
    *heads, end = two_sessions()
    directory, page = write(tmp_path / "run", heads), tmp_path / "page.html"
    following = threading.Thread(target=report_main, args=(directory, "--html", page, "--follow"))
    following.start()
    wait_until(lambda: page.exists() and 'http-equiv="refresh"' in page.read_text(), 20)
    assert "4 tasks done" in page.read_text()
    with closing(JournalFile(directory / "journal", read_secret(directory / "key"))) as journal:
        journal.append(task("n2:1", 2003.0, 1.0, "e"))
        journal.append(end)
    following.join(patient(20))
    assert not following.is_alive()
    assert "5 tasks done" in page.read_text()
    assert "refresh" not in page.read_text()
    assert not list(tmp_path.glob(".page*"))


def test_a_page_may_go_to_a_pipe_and_through_a_link(tmp_path):
    directory = write(tmp_path / "run", two_sessions())
    pipe, page, link = tmp_path / "pipe", tmp_path / "page.html", tmp_path / "link.html"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert report_main(directory, "--html", pipe) == 0
    assert os.read(reader, 1 << 20).startswith(b"<")
    os.close(reader)
    assert pipe.is_fifo()
    link.symlink_to(page)
    assert report_main(directory, "--html", link) == 0
    assert link.is_symlink()
    assert "4 tasks done" in page.read_text()


def test_follow_without_a_page_is_an_error(tmp_path, capsys):
    directory = write(tmp_path / "run", two_sessions())
    assert report_main(directory, "--follow") == 1
    assert "name one with --html FILE" in capsys.readouterr().err

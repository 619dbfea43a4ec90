"""The script of engine scoop: run as ``__main__``, with Python's exit statuses and traceback."""

import subprocess
import sys

import pytest

RUN = "import sys; from pathlib import Path; from hpcml.engines.scoop.script import run_as_main; "
RUN += "sys.exit(run_as_main(Path(sys.argv[1])))"


def run(path, text):
    path.write_text(text)
    command = [sys.executable, "-c", RUN, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("text", "status", "errors"),
    [
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(300)", 300 & 0xFF, ""),
        ("import sys; sys.exit('no good')", 1, "no good\n"),
        ("raise KeyboardInterrupt", 130, "hpcml: interrupted\n"),
    ],
)
def test_the_exit_status_is_that_of_the_interpreter(tmp_path, text, status, errors):
    done = run(tmp_path / "script.py", text)
    assert (done.returncode, done.stderr) == (status, errors)


def test_the_traceback_begins_in_the_script(tmp_path):
    path = tmp_path / "script.py"
    done = run(path, "def fail():\n    return 1 / 0\nfail()\n")
    plain = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, plain.stderr)


def test_the_script_is_main_and_imports_from_its_folder(tmp_path):
    (tmp_path / "beside.py").write_text("VALUE = 7\n")
    text = "import sys, beside\nprint(__name__, sys.modules['__main__'].beside.VALUE, __file__ == sys.argv[1])\n"
    done = run(tmp_path / "script.py", text)
    assert done.stdout == "__main__ 7 True\n", done.stderr

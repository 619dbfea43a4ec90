"""The command and the environment of a program's interpreter."""

import json

import pytest

from hpcml import interpreter
from hpcml.errors import HpcmlError
from hpcml.interpreter import ORDER, program_command, program_environment


def command(line):
    return program_command("/bin/python", line.split(), ["s.py", "-v"])


def test_options_are_kept_as_they_were_written():
    assert command("python -OBX utf8 -m hpcml run s.py -v") == ["/bin/python", "-OBX", "utf8", "s.py", "-v"]
    assert command("python -Xdev -um hpcml run s.py -v") == ["/bin/python", "-Xdev", "-u", "s.py", "-v"]


def test_the_effect_of_isolation_is_kept_without_its_option():
    assert command("python -I -O -m hpcml run s.py -v") == ["/bin/python", "-O", "-P", "-s", "s.py", "-v"]
    assert command("python -E -m hpcml run s.py -v") == ["/bin/python", "s.py", "-v"]
    outside = {"PYTHONPATH": "/mine", "PYTHONDEVMODE": "1", "HOME": "/home"}
    given = program_environment(outside, ["-E"], {"words": 1})
    assert given["PYTHONPATH"] == str(interpreter.FOLDER)
    assert "PYTHONDEVMODE" not in given
    assert json.loads(given[ORDER])["environment"] == {"PYTHONPATH": "/mine", "PYTHONDEVMODE": "1"}


def test_the_order_comes_with_the_variables_to_restore():
    given = program_environment({"PYTHONPATH": "/mine", "HOME": "/home"}, [], {"words": 1})
    assert given["PYTHONPATH"] == f"{interpreter.FOLDER}:/mine"
    assert given["HOME"] == "/home"
    assert json.loads(given[ORDER]) == {"words": 1, "environment": {"PYTHONPATH": "/mine"}}
    assert json.loads(program_environment({}, [], {})[ORDER]) == {"environment": {"PYTHONPATH": None}}


def test_a_python_without_site_packages_is_refused():
    with pytest.raises(HpcmlError, match="leave -S out"):
        command("python -S -m hpcml run s.py -v")


def test_a_folder_that_pythonpath_cannot_hold_is_refused(monkeypatch):
    monkeypatch.setattr(interpreter, "FOLDER", interpreter.FOLDER / "a:b")
    with pytest.raises(HpcmlError, match="install it elsewhere"):
        program_environment({}, [], {})

"""The command line of `hpcml run`, as far as it starts no program."""

import pytest

from hpcml.commands.main import main


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_a_command_line_without_a_program_is_an_error_that_says_what_to_type(options, capsys):
    assert main(["run", *options]) == 1
    assert "there is nothing to run: name a script, -m module" in capsys.readouterr().err


def test_a_script_that_does_not_exist_is_an_error(capsys):
    assert main(["run", "no_such_script.py"]) == 1
    assert "there is no script no_such_script.py" in capsys.readouterr().err

"""The pages of the project and of the package: their markup, and the modules that the latter names."""

import re
from pathlib import Path

import pytest
from docutils.core import publish_string

import hpcml

ROOT = Path(hpcml.__file__).parent
PAGE = (ROOT / "README.rst").read_text()


def test_folders_are_those_of_the_package():
    table = PAGE.split("=====================\n")[2]
    folders = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert {line.split("/")[0] for line in table.splitlines()[:-1]} == folders


def test_modules_and_folders_are_there():
    paths = re.findall(r"\b[a-z_]+/[a-z_/]*(?:\.py)?", PAGE.replace("tests/pure/", ""))
    assert len(paths) > 40
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("path", [ROOT.parent / "README.rst", ROOT / "README.rst"], ids=["project", "package"])
def test_markup_is_valid(path):
    publish_string(path.read_text(), writer="html5", settings_overrides={"halt_level": 2, "report_level": 2})

"""The page that shows the whole, hpcml/README.rst: all modules that it names are there."""

import re
from pathlib import Path

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

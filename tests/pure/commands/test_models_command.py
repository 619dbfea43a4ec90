"""``hpcml models``: what it prints, and the status with which it exits."""

import json

import numpy as np
import pytest

from hpcml.commands.main import main
from hpcml.models import ModelStore


@pytest.fixture
def store(tmp_path):
    store = ModelStore(tmp_path / "models")
    for accuracy in (0.5, 0.75):
        store.save("digits", {"w": np.full(3, accuracy)}, parameters={"C": 2}, metrics={"accuracy": accuracy})
    return store


@pytest.fixture
def models(store, capsys):
    """Function that runs ``hpcml models`` with words; returns the exit status and what it printed."""

    def run(words):
        status = main(["models", *words.split(), "--store", str(store.directory)])
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


def test_versions_are_listed_with_their_metrics(models):
    assert models("promote digits 2") == (0, "digits: version 2 is in use\n")
    status, text = models("list")
    header, first, second = text.splitlines()
    assert (status, header.split()) == (0, ["model", "version", "saved", "size", "metrics"])
    assert first.split()[:2] == ["digits", "1"]
    assert first.split()[-3:] == ["kB", "accuracy", "0.5"]
    assert second.split()[:4] == ["digits", "2", "in", "use"]
    assert [(one["version"], one["in_use"]) for one in json.loads(models("list digits --json")[1])] == [
        (1, False),
        (2, True),
    ]


def test_a_version_is_shown_with_its_origin_and_the_changes(models):
    models("promote digits 1")
    models("promote digits 2")
    assert models("rollback digits") == (0, "digits: version 1 is in use again\n")
    _, text = models("show digits")
    for words in ("version 1", "parameters C 2", "metrics accuracy 0.5", "in use True"):
        assert any(" ".join(line.split()) == words for line in text.splitlines()), text
    assert [line.split()[2:5] for line in text.splitlines()[-3:]] == [
        ["1", "promoted", "by"],
        ["2", "promoted", "by"],
        ["1", "back", "in"],
    ]
    assert json.loads(models("show digits 2 --json")[1])["metrics"] == {"accuracy": 0.75}


def test_errors_are_one_line(models):
    message = "no other version has been in use before: promote one by its number"
    assert models("rollback digits") == (1, f"hpcml: {message}\n")
    status, text = models("promote digits 9")
    assert (status, text.count("\n")) == (1, 1)
    assert "its versions are: 1, 2" in text


def test_a_damaged_version_is_found(models, store):
    assert models("verify") == (0, "2 versions are as saved\n")
    file = store.version("digits", 1).model_file
    file.chmod(0o600)
    file.write_bytes(b"other")
    status, text = models("verify digits")
    assert status == 1
    assert text.startswith(f"{file} has changed: it has 5 bytes")
    assert models("verify digits 2") == (0, "1 version is as saved\n")


def test_an_empty_store(tmp_path, capsys):
    assert main(["models", "list", "--store", str(tmp_path / "none")]) == 0
    assert "hpcml.models.ModelStore.save saves one" in capsys.readouterr().out

"""Store of models: what is saved is loaded again, and a version that is damaged or half written is not."""

import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcml.errors import HpcmlError
from hpcml.models import ModelStore, formats, origin


@pytest.fixture
def store(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.mark.parametrize(
    "array",
    [
        *(np.arange(6).reshape(2, 3).astype(kind) for kind in ("bool", "i1", "u2", "i8", "f2", "f4", "f8")),
        np.float64(3.5),
        np.zeros((0, 4)),
        np.asfortranarray(np.eye(3)),
        np.arange(4, dtype=">f4"),
        np.arange(9)[::2],
        np.arange(200_001.0),
        np.arange(300_000, dtype="u1").reshape(3, 100_000),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_come_back_equal(store, array):
    store.save("a", {"weights": array, "other": np.ones(2)})
    found = store.load("a", 1)
    assert found.keys() == {"weights", "other"}
    np.testing.assert_array_equal(found["weights"], array, strict=array.dtype.isnative)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"a": np.array(["x"])}, "'a' of the model has the type <U1"),
        ({"a": np.array([1j])}, "complex128"),
        ({"a": [1, [2]]}, "'a' of the model is no array"),
        ({1: np.zeros(1)}, "1 is a int"),
        (print, "dict of arrays by name"),
        ("model.pt", "its name must end with .safetensors or .skops"),
    ],
)
def test_what_cannot_be_saved_is_an_error_that_leaves_nothing(store, model, message):
    with pytest.raises(HpcmlError, match=message):
        store.save("a", model)
    assert list(store.directory.glob("a/*")) == list(store.directory.glob("a/.*")) == []


def test_a_file_of_another_library_is_a_model(store, tmp_path):
    from safetensors.numpy import save_file

    save_file({"w": np.arange(3)}, tmp_path / "epoch.safetensors")
    version = store.save("a", tmp_path / "epoch.safetensors")
    assert version.model_file.read_bytes() == (tmp_path / "epoch.safetensors").read_bytes()
    assert store.load("a", 1)["w"].tolist() == [0, 1, 2]


def test_the_manifest_says_what_and_whence(store, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("1,2\n")
    version = store.save(
        "a", {"w": np.zeros(2)}, parameters={"C": np.float32(0.5)}, metrics={"accuracy": 0.9}, data=table, run="r1"
    )
    facts = json.loads((store.directory / "a/1/manifest.json").read_text())
    assert facts["files"]["model.safetensors"] == {
        "sha256": hashlib.sha256(version.model_file.read_bytes()).hexdigest(),
        "bytes": version.model_file.stat().st_size,
    }
    assert (facts["parameters"], facts["metrics"], facts["run"]) == ({"C": 0.5}, {"accuracy": 0.9}, "r1")
    assert facts["data_digest"] == f"sha256:{hashlib.sha256(b'1,2' + bytes([10])).hexdigest()}"
    assert facts["libraries"]["numpy"] == np.__version__
    with pytest.raises(HpcmlError, match="JSON"):
        store.save("a", {"w": np.zeros(2)}, parameters={"C": print})


def test_equal_data_has_equal_digests_in_other_processes():
    words = "import numpy; from hpcml.models.origin import data_digest; print(data_digest({'X': numpy.eye(3)}))"
    seen = {subprocess.check_output([sys.executable, "-c", words]) for _ in range(2)}
    assert seen == {f"{origin.data_digest({'X': np.eye(3)})}\n".encode()}
    assert origin.data_digest({"X": np.eye(4)}).encode() not in seen


def test_the_version_of_the_code_is_the_commit_of_its_repository(tmp_path):
    script = tmp_path / "train.py"
    script.write_text("1\n")
    assert origin.code_version(script) == f"sha256:{hashlib.sha256(b'1' + bytes([10])).hexdigest()}"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    assert origin.code_version(script) == f"git:{commit}"
    script.write_text("2\n")
    assert origin.code_version(script) == f"git:{commit}+changes"
    assert origin.code_version(None) == ""


def test_promotions_and_rollbacks(store):
    for value in (1.0, 2.0, 3.0):
        store.save("a", {"w": np.array(value)})
    with pytest.raises(HpcmlError, match="no version of a is in use: `hpcml models promote a 3`"):
        store.load("a")
    for number in (1, 3, 2):
        store.promote("a", number)
    assert store.load("a")["w"] == 2
    assert [store.roll_back("a"), store.roll_back("a")] == [3, 1]
    with pytest.raises(HpcmlError, match="no other version has been in use before"):
        store.roll_back("a")
    store.promote("a", 2)
    assert store.roll_back("a") == 1
    kinds = [(change.version, change.kind) for change in store.pointer("a").changes]
    assert kinds[-2:] == [(2, "promote"), (1, "rollback")]
    assert len(kinds) == 7


def test_what_is_not_there_is_named(store):
    with pytest.raises(HpcmlError, match="has no model b; its models are: none"):
        store.load("b")
    store.save("a", {"w": np.zeros(1)})
    with pytest.raises(HpcmlError, match="has no model b; its models are: a"):
        store.load("b")
    with pytest.raises(HpcmlError, match="a has no version 2 in .*; its versions are: 1"):
        store.promote("a", 2)
    for name in ("", "../a", ".a", "a/b", "a" * 200):
        with pytest.raises(HpcmlError, match="is no name of a model"):
            store.save(name, {"w": np.zeros(1)})


def test_a_changed_file_is_neither_loaded_nor_promoted(store):
    version = store.save("a", {"w": np.arange(1000)}, promote=True)
    store.save("a", {"w": np.arange(1000)}, promote=True)
    version.model_file.chmod(0o600)
    with version.model_file.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x07")
    for action in (lambda: store.load("a", 1), lambda: store.promote("a", 1), lambda: store.roll_back("a")):
        with pytest.raises(HpcmlError, match="1/model.safetensors has changed: it has 8072 bytes and SHA-256"):
            action()
    assert store.load("a")["w"].sum() == 999 * 500
    assert len(store.problems("a")) == 1
    assert store.problems("a", 2) == []


def test_a_version_that_was_removed_is_said_to_be_missing(store):
    for _ in range(2):
        store.save("a", {"w": np.zeros(1)}, promote=True)
    (store.directory / "a/1/manifest.json").unlink()
    assert [one.version for one in store.versions("a")] == [2]
    with pytest.raises(HpcmlError, match=r"1/manifest.json cannot be read: No such file"):
        store.roll_back("a")
    os.rename(store.directory / "a/2", store.directory / "a/away")
    assert "the version in use of a, 2, is not there" in store.problems("a")[-1]


def test_a_number_that_was_in_use_is_not_given_again(store):
    for number in (1, 2, 3):
        assert store.save("a", {"w": np.full(1, number)}, promote=True).version == number
    os.rename(store.directory / "a/3", store.directory / "a/away")
    store.roll_back("a")
    assert store.save("a", {"w": np.zeros(1)}).version == 4
    assert store.load("a")["w"] == 2


@pytest.mark.parametrize("ending", formats.FORMATS)
def test_a_file_that_cannot_be_loaded_is_not_saved(ending, store, tmp_path):
    (tmp_path / f"bad.{ending}").write_bytes(b"nothing of a model")
    with pytest.raises(HpcmlError, match=rf"model\.{ending} cannot be read"):
        store.save("a", tmp_path / f"bad.{ending}", promote=True)
    assert store.numbers("a") == []


def test_the_digest_of_data_is_that_of_the_file_a_text_names(store, tmp_path):
    path = tmp_path / "train.csv"
    path.write_text("1")
    first = store.save("a", {"w": np.zeros(1)}, data=str(path)).data_digest
    assert first == origin.data_digest(path)
    path.write_text("2")
    assert store.save("a", {"w": np.zeros(1)}, data=str(path)).data_digest != first


@pytest.mark.parametrize("mask", [0, 0o077])
def test_the_store_is_the_owners_until_it_is_shared(mask, store):
    old = os.umask(mask)
    try:
        store.save("a", {"w": np.zeros(1)}, promote=True)
        assert {stat.S_IMODE(path.stat().st_mode) & 0o77 for path in Path(store.directory).rglob("*")} == {0}
        subprocess.run(["chmod", "-R", "g+rX", store.directory], check=True)
        store.save("a", {"w": np.zeros(1)}, promote=True)
    finally:
        os.umask(old)
    shared = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in (store.directory / "a").rglob("[!.]*")}
    assert shared == {
        "1": "0o750", "2": "0o750", "current.json": "0o640",
        "model.safetensors": "0o440", "manifest.json": "0o440",
    }  # fmt: skip


def test_a_version_that_was_half_written_is_not_listed_and_is_removed_later(store):
    store.save("a", {"w": np.zeros(1)})
    gone = subprocess.Popen(["true"])
    gone.wait()
    left = store.directory / "a" / f".new-{os.uname().nodename}-{gone.pid}-0123456789abcdef"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"half")
    assert store.numbers("a") == [1]
    store.save("a", {"w": np.zeros(1)})
    assert left.exists(), "a process of another container may be at work there"
    os.utime(left, (0, 0))
    store.save("a", {"w": np.zeros(1)})
    assert not left.exists()


def test_a_full_disk_leaves_no_version(store):
    """The limit on the size of files fails a write as a full disk does."""
    program = (
        "import resource, signal, numpy\n"
        "from hpcml.models import ModelStore\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"store = ModelStore({str(store.directory)!r})\n"
        "store.save('a', {'w': numpy.zeros(1)})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "store.save('a', {'w': numpy.zeros(100_000)})\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert [path.name for path in (store.directory / "a").iterdir()] == ["1"]


def test_a_library_that_is_missing_is_named(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(HpcmlError, match=r"safetensors, .*: pip install 'hpcml\[models\]'"):
        store.save("a", {"w": np.zeros(1)})


def test_estimators_come_back_and_their_types_must_be_trusted(store):
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    X, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    ridge = Ridge().fit(X, y)
    version = store.save("ridge", ridge, promote=True)
    assert version.types == ()
    np.testing.assert_array_equal(store.load("ridge").predict(X), ridge.predict(X))
    strange = store.save("strange", make_pipeline(FunctionTransformer(os.getenv), Ridge()), promote=True)
    assert strange.types == ("os.getenv",)
    with pytest.raises(HpcmlError, match=r"types that are not scikit-learn's: os\.getenv\..*--trust os\.getenv"):
        store.load("strange")
    assert store.load("strange", trusted=["os.getenv"]).steps[0][1].func is os.getenv


def test_a_file_that_is_none_of_its_format(tmp_path):
    for ending in formats.FORMATS:
        path = tmp_path / f"model.{ending}"
        path.write_bytes(b"\x80\x04cos\nsystem\n(X")
        with pytest.raises(HpcmlError, match=f"model.{ending} cannot be read"):
            formats.read_model(path)

"""Checkpoints of a training: kills at random places, damaged files, other surroundings, no room."""

import collections
import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from patience import patient, wait_until

from hpcml.errors import HpcmlError
from hpcml.training import Checkpoints
from hpcml.training.checkpoints import parts, reader, surroundings
from hpcml.training.checkpoints.values import pack_values

KILLED = Path(__file__).parent / "programs" / "killed_training.py"
KILLS = 20


@pytest.mark.parametrize("wait", ["wait", "apart"])
def test_a_training_that_is_killed_at_random_places_ends_with_the_same_bits(wait, tmp_path):
    seed = random.SystemRandom().randrange(1 << 30)
    words = [sys.executable, KILLED, tmp_path, str(KILLS), str(seed), wait]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=patient(100))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    whole, killed = found["results"]
    assert killed == whole
    assert found["in_saves"] >= KILLS // 10, f"seed {seed}"
    *versions, pointer, lock, result = found["names"]
    assert (len(versions), pointer, lock, result) == (2, "latest", "lock", "result")


STATE = {
    "plain": [None, True, 3, -1.5, float("inf"), 1 << 70, "Å\ud800", b"\0\xff", 2 - 1j],
    "tuple": ({1: (), "1": []}, (1, [2, (3,)])),
    ("a", 2): collections.OrderedDict(z=1, a=2),
    "arrays": [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int8).reshape(2, 3)),
        np.arange(12.0)[::-2],
        np.zeros((0, 3)),
        np.array(2.5),
        np.array(["a", "æøå"]),
        np.array([b"x"]),
        np.array([1 + 2j, np.nan]),
        np.array(["2026-11-30", "NaT"], dtype="datetime64[s]"),
        np.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", ">f8")]),
        np.array([True, False]),
        np.float16([0.1]),
        np.longdouble([0.1]),
    ],
    "scalars": [np.float32(0.1), np.int64(-3), np.str_("a"), np.True_],
    "generator": np.random.default_rng(1).bit_generator.state,
    "twister": np.random.RandomState(1).get_state(legacy=False),
}


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
        return
    assert type(found) is type(expected)
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray | np.generic):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.tobytes() == expected.tobytes()
    else:
        assert found == expected


@pytest.mark.parametrize("wait", [True, False])
def test_values_are_loaded_as_they_were_saved(wait, tmp_path):
    array = np.arange(3.0)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.load() is None
        checkpoints.save({**STATE, "changed": array}, 4, rank_state=(5, array), wait=wait)
        array += 1  # later, in the training
        loaded = checkpoints.load()
    assert_same(loaded.state, {**STATE, "changed": np.arange(3.0)})
    assert_same(loaded.rank_state, (5, np.arange(3.0)))
    assert (loaded.step, loaded.world_size) == (4, 1)
    loaded.state["changed"] += 1  # it can be trained further


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (object(), "no builtins.object"),
        (np.array([None]), "an array of object"),
        (np.random.default_rng(), "give its bit_generator.state"),
        (np.ma.masked_array([1.0], [True]), "give numpy.asarray"),
        ({1, 2}, "no builtins.set"),
    ],
)
def test_a_value_that_cannot_be_held_is_refused_with_its_place(value, advice, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(HpcmlError, match=rf"state\['model'\]\[1\] is .*{advice}"):
            checkpoints.save({"model": [0, value]}, 1)
        assert checkpoints.versions() == []
        with pytest.raises(ValueError, match="step='1'"):
            checkpoints.save({}, "1")


def test_random_generators_continue(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save({}, 1)
        expected = random.random(), np.random.random()
        checkpoints.load(random=False)
        assert (random.random(), np.random.random()) != expected
        checkpoints.load()
        assert (random.random(), np.random.random()) == expected


def save(directory, *steps, keep=3):
    with Checkpoints(directory, keep=keep) as checkpoints:
        for step in steps:
            checkpoints.save({"weights": np.full(1000, step)}, step)
    return checkpoints.versions()


def change(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_directory(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "unreadable": (lambda version: replace_by_directory(version / "state.json"), "state.json"),
    "changed": (lambda version: change(version / "state.npy"), "the SHA-256 of state.npy"),
    "cut": (lambda version: os.truncate(version / "state.npy", 100), "state.npy has 100 bytes of 8128"),
    "missing": (lambda version: os.unlink(version / "rank-0.json"), "rank-0.json: No such file"),
    "manifest": (lambda version: change(version / "manifest.json"), "the manifest is damaged"),
    "no manifest": (lambda version: os.unlink(version / "manifest.json"), "manifest.json: No such file"),
    "removed": (lambda version: os.rename(version, version.parent / "elsewhere"), "manifest.json: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_version_is_named_and_the_one_before_is_loaded(name, tmp_path, caplog):
    versions = save(tmp_path, 10, 20, 30)
    damage, reason = DAMAGES[name]
    damage(versions[0])
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load().step == 20
    (text,) = caplog.messages
    assert f"{versions[0]} is damaged ({reason}" in text
    assert text.endswith("000002-step-20 is tried")
    for version in versions[1:]:
        change(version / "state.npy")
    with pytest.raises(HpcmlError, match=r"is whole: 000003-step-30, 000002-step-20, 000001-step-10 are damaged"):
        checkpoints.load()


def test_the_only_good_version_is_kept_beside_damaged_ones(tmp_path, caplog):
    versions = save(tmp_path, 10, 20, keep=2)
    change(versions[0] / "state.npy")
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.load().step == 10
        checkpoints.save({}, 15)
        names = [version.name for version in checkpoints.versions()]
        assert names == ["000003-step-15", "000002-step-20", "000001-step-10"]
        change(checkpoints.versions()[0] / "state.json")
        assert Checkpoints(tmp_path).load().step == 10
        checkpoints.save({}, 16)
        assert [version.name for version in checkpoints.versions()] == ["000004-step-16", "000003-step-15"]


@pytest.mark.parametrize(("keep", "names"), [(1, [30]), (2, [30, 20]), (None, [30, 20, 10])])
def test_so_many_versions_are_kept(keep, names, tmp_path):
    assert [int(version.name.rpartition("-")[2]) for version in save(tmp_path, 10, 20, 30, keep=keep)] == names
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {0o600}
    with pytest.raises(ValueError, match="keep=0"):
        Checkpoints(tmp_path, keep=0)


def test_the_pointer_says_which_version_is_loaded(tmp_path, caplog):
    save(tmp_path, 10, 20)
    (tmp_path / "latest").write_text("000001-step-10\n")
    assert Checkpoints(tmp_path).load().step == 10
    (tmp_path / "latest").write_text("../../etc")
    assert Checkpoints(tmp_path).load().step == 20
    assert "latest names no version: '../../etc'" in caplog.text


def test_files_of_any_library_become_part_of_a_version(tmp_path, caplog):
    with Checkpoints(tmp_path) as checkpoints:
        for number in (1, 2):
            with checkpoints.new(number, {"epoch": number}) as directory:
                (directory / "deep").mkdir()
                np.save(directory / "deep" / "weights.npy", np.full(4, number))
        with pytest.raises(ZeroDivisionError), checkpoints.new(3) as directory:
            (directory / "half").write_text("")
            raise ZeroDivisionError
        assert not directory.exists()
        loaded = checkpoints.load()
        assert (loaded.step, loaded.state) == (2, {"epoch": 2})
        assert np.load(loaded.directory / "deep" / "weights.npy").tolist() == [2] * 4
        change(loaded.directory / "deep" / "weights.npy")
        assert checkpoints.load().step == 1
        assert "the SHA-256 of files/deep/weights.npy" in caplog.text


def test_other_threads_and_versions_are_said(tmp_path, caplog, monkeypatch):
    save(tmp_path, 10)
    Checkpoints(tmp_path).load()
    assert caplog.messages == []
    there = surroundings.surroundings()
    monkeypatch.setattr(surroundings.np, "__version__", "1.0")
    threads = there["threads of numpy"]
    monkeypatch.setattr(
        "threadpoolctl.threadpool_info", lambda: [{"user_api": "blas", "num_threads": threads + 1}]
    )
    Checkpoints(tmp_path).load()
    assert f"threads of numpy: {threads} then, {threads + 1} now" in caplog.text
    assert f"numpy: {np.__version__.replace('1.0', there['numpy'])} then, 1.0 now" in caplog.text


def test_one_writer_at_a_time_and_readers_meanwhile(tmp_path):
    with Checkpoints(tmp_path) as writer:
        writer.save({"one": 1}, 1)
        reader = Checkpoints(tmp_path)
        assert reader.load().state == {"one": 1}
        with pytest.raises(HpcmlError, match=rf"process {os.getpid()} on .* Ranks of one program give comm="):
            reader.save({}, 2)
    reader.save({}, 2)
    reader.close()


def test_a_reader_sees_whole_versions_while_they_come_and_go(tmp_path, caplog):
    save(tmp_path, 0)
    stop = threading.Event()

    def write():
        with Checkpoints(tmp_path, keep=1) as checkpoints:
            step = 0
            while not stop.is_set():
                step += 1
                checkpoints.save({"weights": np.full(1000, step)}, step)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(20):
            loaded = Checkpoints(tmp_path).load(random=False)
            assert (loaded.state["weights"] == loaded.step).all()
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("place", ["read_manifest", "whole_files", "read_arrays"])
def test_a_version_that_is_removed_while_it_is_loaded_is_not_missed(place, tmp_path, caplog, monkeypatch):
    original = getattr(reader, place)
    steps = iter([2, 3])
    with Checkpoints(tmp_path, keep=1) as writer:
        writer.save({"weights": np.ones(3)}, 1)

        def _after_another_save(*arguments):
            for step in itertools.islice(steps, 1):
                writer.save({"weights": np.full(3, step)}, step)
                wait_until(lambda: "hpcml removal" not in {thread.name for thread in threading.enumerate()})
            return original(*arguments)

        monkeypatch.setattr(reader, place, _after_another_save)
        loaded = Checkpoints(tmp_path).load()
    assert (loaded.step, loaded.state["weights"].tolist()) == (3, [3, 3, 3])
    assert caplog.messages == []


@pytest.mark.skipif(os.getuid() != 0, reason="mount needs root")
@pytest.mark.parametrize("wait", [True, False])
def test_a_full_disk_leaves_the_version_before(wait, small_mount):
    place = small_mount("small", "1m")
    weights = np.zeros(60_000)
    with Checkpoints(place / "checkpoints") as checkpoints:
        checkpoints.save({"weights": weights}, 1)
        with pytest.raises(OSError, match="No space left") as raised:
            checkpoints.save({"weights": np.ones(100_000)}, 2, wait=wait)
            checkpoints.close()
        assert raised.type is OSError
        checkpoints.save({}, 3, wait=wait)
        assert [version.name.rpartition("-")[2] for version in checkpoints.versions()][-1] == "1"
    assert Checkpoints(place / "checkpoints").load().step == 3


def test_a_directory_that_cannot_be_made_or_written_is_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(HpcmlError, match=f"no checkpoints in {tmp_path}/file/here: Not a directory"):
        Checkpoints(tmp_path / "file/here")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HpcmlError, match=f"no checkpoints in {tmp_path}: Permission denied"):
        Checkpoints(tmp_path)


def test_a_save_in_the_background_holds_the_training_only_for_the_copy(tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()
    write_arrays = parts.write_arrays

    def slow(*arguments):
        begun.set()
        assert go_on.wait(patient(60))
        return write_arrays(*arguments)

    monkeypatch.setattr(parts, "write_arrays", slow)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save({"weights": np.ones(9)}, 1, wait=False)
        assert begun.wait(patient(60))
        assert checkpoints.versions() == []
        go_on.set()
        wait_until(checkpoints.versions)


def test_a_complete_version_stays_whatever_interrupts_the_next_save(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save({"one": 1}, 1, wait=False)
        wait_until(checkpoints.versions)
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "join", interrupt)
            with pytest.raises(KeyboardInterrupt):
                checkpoints.save({"two": 2}, 2)
        assert checkpoints.load().state == {"one": 1}


def test_saves_of_threads_take_turns_and_one_within_another_is_refused(tmp_path):
    with Checkpoints(tmp_path, keep=None) as checkpoints:
        threads = [
            threading.Thread(target=checkpoints.save, args=({"weights": np.full(1000, step)}, step))
            for step in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(checkpoints.versions()) == 6
        with checkpoints.new(7) as directory:
            (directory / "one").touch()
            with pytest.raises(HpcmlError, match="In a handler of a signal set a variable"):
                checkpoints.save({}, 8)
        assert checkpoints.load().step == 7


def interrupt(*_):
    raise KeyboardInterrupt


AT_EXIT = """
import sys
import numpy as np
from hpcml.training import Checkpoints
Checkpoints(sys.argv[1]).save({"weights": np.ones(20_000_000)}, 1, wait=False)
"""


def test_a_save_in_the_background_is_completed_at_the_end_of_the_program(tmp_path):
    done = subprocess.run([sys.executable, "-c", AT_EXIT, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Checkpoints(tmp_path).load().state["weights"].sum() == 20_000_000


def test_a_rank_that_fails_beside_the_training_is_named(tmp_path):
    version = tmp_path / "000001-step-1"
    version.mkdir()
    with pytest.raises(FileNotFoundError):
        parts.write_part(version, 1, {"rank-1": pack_values(1)}, {}, ["none"])
    parts.write_part(version, 0, {"rank-0": pack_values(1)}, {}, [])
    with pytest.raises(HpcmlError, match="rank 1 failed: FileNotFoundError"):
        parts.complete(version, 1, 2)


@pytest.mark.parametrize(("limit", "is_ending"), [("PART_SECONDS", bool), ("END_SECONDS", lambda: True)])
def test_a_rank_that_writes_no_part_is_named_soon_where_the_program_ends(limit, is_ending, tmp_path, monkeypatch):
    monkeypatch.setattr(parts, limit, 0.2)
    began = time.monotonic()
    with pytest.raises(HpcmlError, match=r"ranks \[0, 1\] did not write their parts"):
        parts.complete(tmp_path, 1, 2, is_ending)
    assert time.monotonic() - began < patient(10)

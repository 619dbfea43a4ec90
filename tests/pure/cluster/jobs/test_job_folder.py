"""Folders of jobs: private, found by a job's number, and read only where no other user can have written."""

import os
import pickle

import pytest

from hpcml.cluster.jobs.array_folder import ArrayFolder, ArrayPlan
from hpcml.cluster.jobs.folder import JobFolder, data_directory, find_folder, jobs_directory, new_folder
from hpcml.cluster.jobs.packing import pack_calls
from hpcml.data.outcomes import Execution, join_outcomes, pack_outcome
from hpcml.errors import HpcmlError


@pytest.fixture
def folder(tmp_path):
    return new_folder(jobs_directory(tmp_path), "__main__.train")


def test_a_folder_and_its_files_are_closed_to_others(folder):
    folder.write("call", b"x")
    places = (folder.path, folder.path.parent, folder.path.parent.parent, folder.path / "call")
    assert [place.stat().st_mode & 0o777 for place in places] == [0o700, 0o700, 0o700, 0o600]
    assert "-train-" in folder.path.name


@pytest.mark.parametrize("open_to_others", ["folder", "file"])
def test_nothing_is_read_where_others_may_have_written(folder, open_to_others):
    folder.write("outcome", b"evil")
    os.chmod(folder.path if open_to_others == "folder" else folder.path / "outcome", 0o777)
    with pytest.raises(HpcmlError, match="cannot be trusted.*chmod"):
        folder.read("outcome")


def test_files_of_another_user_are_not_read(folder):
    folder.write("outcome", b"evil")
    os.chown(folder.path / "outcome", 1234, -1)
    with pytest.raises(HpcmlError, match="belongs to user 1234"):
        folder.read("outcome")


def test_a_folder_is_found_by_the_number_of_its_job(folder, tmp_path):
    folder.note_id("7")
    assert find_folder("7", [tmp_path / "elsewhere", tmp_path]).path == folder.path
    with pytest.raises(HpcmlError, match=r"job 8 was not submitted.*hpcml\.Job\('8', folder=…\)"):
        find_folder("8", [tmp_path])


def test_a_number_that_is_used_again_means_the_last_job(folder, tmp_path):
    folder.note_id("7")
    last = new_folder(jobs_directory(tmp_path), "f")
    last.note_id("7")
    os.utime(folder.path / "id-7", (1, 1))
    assert find_folder("7", [tmp_path]).path == last.path


def test_shared_data_of_calls_is_one_file(folder):
    data = data_directory(folder.path.parent)
    text = b"x" * (2 << 20)
    for _ in range(2):
        packed = pack_calls(len, [(text,)] * 5, data, b"")
    assert [path.stat().st_size for path in data.iterdir()] == [len(text)]
    assert sum(map(len, packed.arguments)) < 2000
    assert len(set(packed.keys)) == 5  # equal calls are numbered


def test_calls_and_their_outcomes_are_read_in_parts(folder):
    array = ArrayFolder(folder.path)
    packed = pack_calls(divmod, [(n, 3) for n in range(10)], data_directory(folder.path.parent), b"state")
    array.write_calls(ArrayPlan("divmod", 10, 2, 10.0), packed)
    again = ArrayFolder(folder.path)
    assert again.plan().calls == 10
    assert again.keys() == packed.keys
    assert [pickle.loads(one) for one in again.arguments(4, 6)] == [((4, 3), {}), ((5, 3), {})]
    claim = again.claims(10).take(2, "71", "70_0")
    assert not again.has_outcomes(claim)
    outcomes = [pack_outcome(n, None, Execution(0.0, 0.0, 0), 1000) for n in (8, 9)]
    array.write_outcomes(claim, join_outcomes("n1", outcomes))
    assert [(number, outcome.value) for number, outcome in again.new_outcomes()] == [(0, 8), (1, 9)]
    assert list(again.new_outcomes()) == []


def test_a_folder_of_another_kind_or_version_has_no_plan(folder):
    assert ArrayFolder(folder.path).plan() is None
    folder.write("plan", b'{"format": 99}')
    assert ArrayFolder(folder.path).plan() is None
    assert JobFolder(folder.path).ids == {}

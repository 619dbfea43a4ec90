"""Data for several jobs: each gets each file, also a job that joins later, and files have names alone."""

import os

import pytest

from hpcml.cluster.fleet.staging import FleetStaging
from hpcml.data.digests import digest
from hpcml.data.staging import files
from hpcml.data.staging.files import DataFile, open_map, unverified_path, use_directories
from hpcml.errors import DataError, DataMissing


class Job:
    """Nodes of a job, as a directory; without `room` they have no space."""

    def __init__(self, place, room=True):
        self.place = place
        self.room = room
        place.mkdir()

    def send(self, source, name):
        if not self.room:
            raise DataError("no space")
        content = os.pread(source.fileno(), 1000, 0)
        (self.place / f"{name}.part").write_bytes(content)
        return str(self.place / name)

    def remove_name(self, name):
        (self.place / f"{name}.part").unlink(missing_ok=True)

    @property
    def content(self):
        return {path.name: path.read_bytes() for path in self.place.iterdir()}


@pytest.fixture
def staging(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    staging = FleetStaging([str(scratch)])
    yield staging
    staging.close()
    assert list(scratch.iterdir()) == []


def test_each_job_gets_each_file_whenever_it_joins(staging, tmp_path):
    first, second = Job(tmp_path / "1"), Job(tmp_path / "2")
    staging.join("1", first)
    assert staging.put("a", [memoryview(b"12"), memoryview(b"345")]) == ("a", "")
    staging.join("2", second)
    staging.put("b", [memoryview(b"6")])
    assert first.content == second.content == {"a.part": b"12345", "b.part": b"6"}
    staging.remove("a")
    assert first.content == second.content == {"b.part": b"6"}


def test_a_file_that_is_missing_is_sent_again_while_it_is_needed(staging, tmp_path):
    job = Job(tmp_path / "1")
    staging.join("1", job)
    staging.put("a", [memoryview(b"1")])
    (job.place / "a.part").unlink()
    staging.put_again("a")
    assert job.content == {"a.part": b"1"}
    staging.remove("a")
    with pytest.raises(DataError, match="a is missing on a node"):
        staging.put_again("a")


def test_a_job_without_space_is_an_error_unless_it_has_left(staging, tmp_path):
    full = Job(tmp_path / "1", room=False)
    staging.join("1", full)
    with pytest.raises(DataError, match="no space"):
        staging.put("a", [memoryview(b"1")])
    full.send = lambda source, name: (staging.leave("1"), Job.send(full, source, name))
    assert staging.put("b", [memoryview(b"1")]) == ("b", "")


def test_a_shared_directory_has_one_file_for_all_jobs(tmp_path):
    shared = tmp_path / "shared"
    staging = FleetStaging([str(tmp_path)], str(shared))
    job = Job(tmp_path / "1")
    staging.join("1", job)
    assert staging.put("a", [memoryview(b"1")]) == ("a", str(shared / "a"))
    assert job.content == {}
    staging.close()
    assert not shared.exists()


@pytest.fixture
def directories(tmp_path, monkeypatch):
    """Two directories of a worker's node."""
    monkeypatch.setattr(files, "_directories", ())
    places = [tmp_path / name for name in ("memory", "disk")]
    for place in places:
        place.mkdir()
    use_directories([str(place) for place in places])
    return places


@pytest.mark.parametrize("used", [0, 1])
def test_a_worker_finds_a_file_by_its_name_in_a_directory_of_its_node(directories, used):
    (directories[used] / unverified_path("a")).write_bytes(b"12345")
    file = DataFile("a", 5, digest(b"12345"))
    assert open_map(file)[:] == b"12345"
    assert open_map(file)[:] == b"12345"  # by its own name now


def test_a_worker_links_a_file_of_a_shared_directory(directories, tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert open_map(DataFile("a", 5, digest(b"12345"), str(tmp_path / "a")))[:] == b"12345"


def test_a_file_without_a_directory_is_missing(directories):
    with pytest.raises(DataMissing):
        open_map(DataFile("a", 5, digest(b"12345")))
    use_directories([])
    with pytest.raises(DataMissing, match="there is no directory for a"):
        open_map(DataFile("a", 5, digest(b"12345")))

"""Files of data on a node: verified before use, and removed with their owner."""

import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from hpcml.data.digests import digest
from hpcml.data.staging.directories import DataDirectories
from hpcml.data.staging.file_system import write_file
from hpcml.data.staging.files import DataFile, candidate_directories, open_map, unverified_path
from hpcml.errors import DataMissing

CONTENT = bytes(range(256)) * 1000


def file_in(directory: Path) -> DataFile:
    return DataFile(str(directory / "data"), len(CONTENT), digest(CONTENT))


def test_the_digest_is_that_of_the_reference_implementation():
    """The value for the empty input, from xxHash's own test vectors (xxhsum_sanity_check, XXH128, seed 0)."""
    assert digest(b"") == "99aa06d3014798d86001c324468d497f"


def test_a_delivered_file_is_verified_once_and_renamed(tmp_path):
    file = file_in(tmp_path)
    Path(unverified_path(file.path)).write_bytes(CONTENT)
    assert open_map(file)[:] == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "verifying"]
    assert open_map(file)[:] == CONTENT


@pytest.mark.parametrize(
    ("there", "message"),
    [
        (CONTENT[:-1], "has 255,999 bytes of 256,000"),
        (CONTENT + b"x", "has 256,001 bytes of 256,000"),
        (CONTENT[:-1] + b"x", "its digest differs"),
        (b"", "has 0 bytes of 256,000"),
        (None, "is not there"),
    ],
)
def test_a_file_with_other_content_is_never_read(there, message, tmp_path):
    file = file_in(tmp_path)
    if there is not None:
        Path(unverified_path(file.path)).write_bytes(there)
    with pytest.raises(DataMissing, match=message) as caught:
        open_map(file)
    assert caught.value.digest == file.digest
    assert not Path(file.path).exists()
    Path(unverified_path(file.path)).write_bytes(CONTENT)  # sent again
    assert open_map(file)[:] == CONTENT


def test_a_missing_directory_is_missing_data(tmp_path):
    with pytest.raises(DataMissing, match="gone is not there"):
        open_map(file_in(tmp_path / "gone"))


def test_a_verified_file_that_was_cut_is_missing_data(tmp_path):
    file = file_in(tmp_path)
    Path(file.path).write_bytes(CONTENT[:100])
    with pytest.raises(DataMissing, match="not the length"):
        open_map(file)


def _open_at(file: DataFile, moment: float, results) -> None:
    time.sleep(max(moment - time.time(), 0))
    results.put(open_map(file)[:] == CONTENT)


def test_many_processes_open_a_file_that_one_verifies(tmp_path):
    file = file_in(tmp_path)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    Path(unverified_path(file.path)).write_bytes(CONTENT)
    moment = time.time() + 0.3
    workers = [context.Process(target=_open_at, args=(file, moment, results)) for _ in range(8)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=10) for _ in workers] == [True] * 8
    for worker in workers:
        worker.join(10)


def test_a_file_has_its_name_only_when_it_is_complete(tmp_path, monkeypatch):
    seen = []

    def watched(source, target):
        seen.append((Path(source).stat().st_size, Path(target).exists()))
        rename(source, target)

    rename = os.rename
    monkeypatch.setattr(os, "rename", watched)
    write_file(str(tmp_path / "data"), [memoryview(CONTENT)])
    assert seen == [(len(CONTENT), False)]
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o600


def test_a_write_to_a_map_is_private(tmp_path):
    file = file_in(tmp_path)
    write_file(file.path, [memoryview(CONTENT)])
    private = open_map(file)
    private[:3] = b"abc"
    assert open_map(file)[:] == CONTENT


def test_directories_are_private_and_removed_with_their_owner(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    directories = DataDirectories("run", [str(one), str(two), str(tmp_path / "missing")])
    assert directories.paths == [str(one / "hpcml-run"), str(two / "hpcml-run")]
    assert all(stat.S_IMODE(os.stat(path).st_mode) == 0o700 for path in directories.paths)
    inside, outside = one / "hpcml-run" / "data", tmp_path / "precious"
    for path in (inside, Path(unverified_path(str(inside))), outside):
        path.write_bytes(b"x")
    directories.remove(str(inside))
    directories.remove(str(outside))  # not its own
    assert not inside.exists()
    assert not Path(unverified_path(str(inside))).exists()
    assert outside.exists()
    directories.close()
    assert not list(one.iterdir())
    assert not list(two.iterdir())


def test_a_directory_of_the_same_run_is_not_used_twice(tmp_path):
    first, second = (DataDirectories("run", [str(tmp_path)]) for _ in range(2))
    assert first.paths
    assert not second.paths
    second.close()
    assert (tmp_path / "hpcml-run").is_dir()
    first.close()


def test_directories_of_killed_owners_alone_are_removed(tmp_path):
    living = DataDirectories("living", [str(tmp_path)])
    old = time.time() - 3600
    for name in ("hpcml-dead", "hpcml-young", "hpcml-not-data", "other"):
        (tmp_path / name).mkdir()
    for name in ("hpcml-dead", "hpcml-young"):
        (tmp_path / name / "owner").touch()
    for name in ("hpcml-dead", "hpcml-not-data", "hpcml-living", "other"):
        os.utime(tmp_path / name, (old, old))
    (tmp_path / "hpcml-link").symlink_to(tmp_path / "other")
    new = DataDirectories("new", [str(tmp_path)])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"hpcml-living", "hpcml-young", "hpcml-not-data", "other", "hpcml-link", "hpcml-new"}
    living.close()
    new.close()


def test_shared_memory_comes_before_temporary_directories():
    environment = {"SLURM_TMPDIR": "/local/job7", "TMPDIR": "/scratch"}
    assert candidate_directories(environment) == ("/dev/shm", "/local/job7", "/scratch", "/tmp")
    assert candidate_directories({"TMPDIR": "relative"}) == ("/dev/shm", "/tmp")

"""Digests of content: one for each array of a call, which its key and the files on the nodes share."""

import sys

import numpy as np
import pytest

from hpcml.cluster.calls import Calls
from hpcml.data.call_data import CallData
from hpcml.data.digests import ContentDigests, digest
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store

LIMIT = 1 << 20  # bytes


class Recorder:
    """Stands for a run's journal: has no recorded results, and accepts the keys of calls."""

    reusable = 0

    def __init__(self):
        self.key_seconds = {}

    def number_keys(self, digests):
        return digests

    def note_classes(self, classes):
        pass


@pytest.fixture
def hashed(monkeypatch):
    """Lengths of large content that is hashed: pieces of memory, and files of several of them."""
    lengths, real = [], digest

    def counting(*parts):
        nbytes = sum(memoryview(part).nbytes for part in parts)
        if nbytes > LIMIT:
            lengths.append(nbytes)
        return real(*parts)

    for name, module in list(sys.modules.items()):
        if name.startswith("hpcml.") and vars(module).get("digest") is real:
            monkeypatch.setattr(module, "digest", counting)
    return lengths


def submit(directory, *args, **kwargs):
    """Make a call as `Cluster.submit` does, with a journal, and its data on the node."""
    data = CallData(Store(LocalStaging([str(directory)])), LIMIT)
    return Calls(data, Recorder(), at_once=True).make(sum, args, kwargs, "group", sends=1)


def test_one_submit_hashes_each_array_once(hashed, tmp_path):
    one, other = np.arange(200_000.0), np.arange(300_000.0)
    call = submit(tmp_path, one, [other, one, other[:]], again=one)
    assert call.key
    assert hashed[:-1] == [one.nbytes, other.nbytes]
    assert hashed[-1] >= one.nbytes + other.nbytes  # the file that holds both: workers verify it as a whole


def test_the_file_of_one_array_is_not_hashed_again(hashed, tmp_path):
    array = np.zeros(200_000)
    assert submit(tmp_path, array).key
    assert hashed == [array.nbytes]


def test_the_next_submit_hashes_arrays_again(hashed, tmp_path):
    array = np.zeros(200_000)
    first = submit(tmp_path, array)
    array[-1] = 1
    assert submit(tmp_path, array).key != first.key
    assert hashed == [array.nbytes] * 2


def test_a_map_hashes_a_shared_array_once(hashed, tmp_path):
    array = np.zeros(200_000)
    data = CallData(Store(LocalStaging([str(tmp_path)])), LIMIT)
    calls = Calls(data, Recorder(), at_once=True)
    made = [calls.make(sum, (array, number), {}, "group", sends=9) for number in range(9)]
    assert len({call.key for call in made}) == 9
    assert hashed == [array.nbytes]


def test_parts_are_hashed_as_one_whole():
    assert digest(b"ab", memoryview(b"cd")) == digest(b"abcd")


def test_a_digest_is_kept_while_the_owner_of_the_memory_exists():
    known, owner = ContentDigests(limit=LIMIT), np.zeros(LIMIT)
    found = known.of(owner.nbytes, "key", owner, lambda: b"content")
    known.forget()
    assert known.known(owner.nbytes, "key") == found
    del owner
    assert known.known(8 * LIMIT, "key") == ""

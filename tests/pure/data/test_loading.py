"""Loading of pickles whose parts lie in several pieces."""

import pickle

import pytest

from hpcml.data.loading import as_file, loads_with_holes


@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 5], [1] * 20, [100_000, 1]])
@pytest.mark.parametrize("count", [1, 7, 1 << 20])
def test_pieces_are_read_as_one_file(sizes, count):
    content = bytes(n % 251 for n in range(sum(sizes)))
    pieces, end = [], 0
    for size in sizes:
        pieces.append(memoryview(content)[end : end + size])
        end += size
    file = as_file(pieces)
    found = b""
    while part := file.read(count):
        found += part
        if count == 1 and len(found) > 300:
            found += file.read()
    assert found == content


def test_holes_of_a_stream_are_filled():
    text = b"x" * 1000
    whole = pickle.dumps(["before", text, "after"], 5)
    start = whole.index(text)
    stream = whole[:start] + whole[start + len(text) :]
    assert loads_with_holes(stream, [(start, memoryview(text))], []) == ["before", text, "after"]


def test_buffers_are_given_in_order():
    buffers = []
    stream = pickle.dumps(
        [pickle.PickleBuffer(b"first"), pickle.PickleBuffer(b"second")], 5, buffer_callback=buffers.append
    )
    assert [bytes(one) for one in loads_with_holes(stream, [], [b"1", b"2"])] == [b"1", b"2"]

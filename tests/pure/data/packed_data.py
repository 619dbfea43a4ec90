"""Arrays that are packed, sent and unpacked, for the tests of data."""

import pickle
from pathlib import Path

import numpy as np

from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.data.out_of_band import Packer

LIMIT = 1000
RANDOM = np.random.default_rng(1)
PLAIN = RANDOM.normal(size=(40, 50))


def pack(data, thing):
    """Pickle a thing as it is sent, and stage its large parts."""
    packed = Packer(data).pack(thing)
    data.stage()
    return packed


def sent(thing, store, limit=LIMIT, private=False):
    """Return a thing after packing, sending and unpacking, and the length of its pickle in bytes."""
    packed = pack(CallData(store, limit, private), thing)
    carried = pickle.dumps(packed)
    return loads_function(pickle.loads(carried))[0], len(carried)


def same_array(got, expected):
    assert type(got) is type(expected)
    assert got.dtype.metadata == expected.dtype.metadata
    assert got.shape == expected.shape
    assert not expected.flags.c_contiguous or got.flags.c_contiguous
    assert not expected.flags.f_contiguous or got.flags.f_contiguous
    if got.dtype.hasobject:
        assert got.dtype == expected.dtype
        assert (got == expected).all()
    else:
        if got.dtype != expected.dtype:  # pickle itself swaps the bytes of some arrays
            got = got.astype(expected.dtype)
        assert got.tobytes() == expected.tobytes()


def files(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())

"""Arrays of every kind that are taken out of a pickle arrive equal."""

import copyreg
import mmap
import pickle

import numpy as np
import pytest
import scipy.linalg
from packed_data import LIMIT, PLAIN, RANDOM, pack, same_array, sent

from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function


class Celsius(np.ndarray):
    """Subclass without state."""


class Labelled(np.ndarray):
    """Subclass with a `__reduce__` of its own."""

    def __array_finalize__(self, source):
        self.label = getattr(source, "label", None)

    def __reduce__(self):
        return relabel, (np.asarray(self), self.label)


def relabel(array, label):
    labelled = array.view(Labelled)
    labelled.label = label
    return labelled


def labelled():
    return relabel(PLAIN.copy(), "day 1")


def masked(**options):
    return np.ma.MaskedArray(PLAIN.copy(), mask=PLAIN > 0, **options)


RECORDS = np.zeros(200, dtype=[("a", "f8"), ("b", "i4", (3,)), ("c", "U5"), ("t", "M8[s]")])
ARRAYS = {
    "C order": PLAIN,
    "Fortran order": np.asfortranarray(PLAIN),
    "transposed cube": RANDOM.normal(size=(10, 11, 12)).transpose(2, 0, 1),
    "reversed": PLAIN[::-1],
    "every other column": PLAIN[:, ::2],
    "broadcast": np.broadcast_to(np.arange(50.0), (40, 50)),
    "one row": PLAIN[:1].repeat(3, axis=1),
    "big endian": PLAIN.astype(">f8"),
    "half": PLAIN.astype("f2"),
    "complex": PLAIN * 1j,
    "bool": PLAIN > 0,
    "text": np.array(["ab", "cde"] * 100),
    "raw": np.frombuffer(RANDOM.bytes(3000), "V30"),
    "structured": RECORDS,
    "a field of it": RECORDS["b"],
    "aligned": np.zeros(100, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "dtype with metadata": np.zeros(300, dtype=np.dtype("f8", metadata={"unit": "m"})),
    "dates": np.arange("2020-01", "2040-01", dtype="M8[D]"),
    "durations": np.arange(500).astype("m8[us]"),
    "matrix": PLAIN.view(np.matrix),
    "record array": RECORDS.view(np.recarray),
    "subclass": PLAIN.view(Celsius),
    "read-only": pickle.loads(pickle.dumps(PLAIN)),
    "zero size": np.empty((0, 1000)),
    "zero-dimensional": np.array(3.0),
    "wide zero-dimensional": np.zeros((), dtype="V2000"),
}
ARRAYS["read-only"].flags.writeable = False
BY_VALUE = {
    "objects": np.array([{"n": n} for n in range(300)]),
    "structured objects": np.array([(n, str(n)) for n in range(300)], dtype=[("n", "i4"), ("o", "O")]),
    "variable-width text": np.array(["a" * n for n in range(100)], dtype=np.dtypes.StringDType()),
}


@pytest.mark.parametrize("name", [*ARRAYS, *BY_VALUE])
def test_arrays_arrive_as_pickle_delivers_them(name, store):
    array = {**ARRAYS, **BY_VALUE}[name]
    got, carried = sent(array, store)
    same_array(got, array)
    assert got.dtype == array.dtype
    if array.nbytes > LIMIT and name in ARRAYS:
        assert carried < LIMIT
        assert not got.flags.writeable


@pytest.mark.parametrize("name", ["C order", "Fortran order", "transposed cube", "every other column", "dates",
                                  "structured", "matrix"])  # fmt: skip
def test_arrays_are_maps_of_the_file_and_not_copies(name, store):
    first, _ = sent(ARRAYS[name], store)
    base = first
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)


def test_a_memmap_is_sent_as_its_content(store, tmp_path):
    file = np.memmap(tmp_path / "x", dtype="f4", mode="w+", shape=(100, 30))
    file[:] = np.arange(3000).reshape(100, 30)
    got, carried = sent(file[10:], store)
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, file[10:])
    assert carried < LIMIT


@pytest.mark.parametrize("array", [masked(), masked(fill_value=-7.0), np.ma.MaskedArray(PLAIN),
                                   np.ma.array(RECORDS, mask=[(True, False, False, True)] * 200)],
                         ids=["mask", "fill value", "no mask", "structured"])  # fmt: skip
def test_masked_arrays_keep_mask_and_fill_value(array, store):
    got, carried = sent(array, store)
    expected = pickle.loads(pickle.dumps(array))
    assert type(got) is np.ma.MaskedArray
    assert np.array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(expected))
    assert got.filled().tobytes() == expected.filled().tobytes()
    assert str(got.fill_value) == str(expected.fill_value)
    assert carried < 2 * LIMIT


def test_a_subclass_with_reduce_pickles_itself(store):
    got, carried = sent(labelled(), store)
    assert (type(got), got.label) == (Labelled, "day 1")
    assert np.array_equal(got, PLAIN)
    assert carried < LIMIT  # the argument of its reduction is an array


class Tagged(np.ndarray):
    """Subclass with a `__setstate__` of its own."""

    def __setstate__(self, state):
        super().__setstate__(state)
        self.tag = "restored"


class Registered(np.ndarray):
    """Subclass that is registered with `copyreg`."""


def remake(array):
    made = array.view(Registered)
    made.origin = "copyreg"
    return made


copyreg.pickle(Registered, lambda array: (remake, (np.asarray(array),)))


def test_subclasses_with_setstate_or_copyreg_pickle_themselves(store):
    assert sent(PLAIN.view(Tagged), store)[0].tag == "restored"
    assert sent(PLAIN.view(Registered), store)[0].origin == "copyreg"


def test_lapack_may_overwrite_a_read_only_array_in_its_task_alone(store):
    """f2py writes to read-only arrays as well; if the map were read-only, the process would end."""
    symmetric = np.asfortranarray(PLAIN @ PLAIN.T)
    packed = pickle.dumps(pack(CallData(store, LIMIT), symmetric))
    got = loads_function(pickle.loads(packed))[0]
    assert not got.flags.writeable
    values = scipy.linalg.eigh(got, overwrite_a=True)[0]
    assert values == pytest.approx(scipy.linalg.eigh(symmetric)[0])
    assert np.array_equal(loads_function(pickle.loads(packed))[0], symmetric)


def test_views_of_one_array_arrive_equal(store, tmp_path):
    whole = RANDOM.normal(size=(1000, 4))
    top, bottom, column = whole[:500], whole[500:], whole[:, 1]
    got, _ = sent([top, bottom, whole, column], store)
    for arrived, view in zip(got, (top, bottom, whole, column), strict=True):
        assert np.array_equal(arrived, view)
    assert sent(whole.T, store)[0].flags.f_contiguous
    (file,) = tmp_path.iterdir()  # the transposed one has the content of the whole
    assert file.stat().st_size <= sum(part.nbytes for part in (top, bottom, whole, column)) + 3 * 64

"""What leaves a pickle comes back equal: arrays of every kind, frames, sparse matrices, bytes, object trees."""

import copyreg
import functools
import mmap
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.linalg
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.data.out_of_band import dumps_result
from hpcml.data.packed import Payload
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store

LIMIT = 1000
RANDOM = np.random.default_rng(1)
PLAIN = RANDOM.normal(size=(40, 50))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(LocalStaging([str(tmp_path)]))


def sent(thing, store, limit=LIMIT, private=False):
    """Pack, carry and unpack; also how many bytes were carried in the pickle itself."""
    packed = CallData(store, limit, private).pack(thing)
    carried = pickle.dumps(packed)
    return loads_function(pickle.loads(carried))[0], len(carried)


class Celsius(np.ndarray):
    """A subclass without state."""


class Labelled(np.ndarray):
    """A subclass that says itself how it is pickled."""

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
    "matrix": np.asmatrix(PLAIN),
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
def test_arrays_are_over_the_file_and_not_copies(name, store):
    first, _ = sent(ARRAYS[name], store)
    base = first
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)


def test_a_memmap_travels_as_its_content(store, tmp_path):
    file = np.memmap(tmp_path / "x", dtype="f4", mode="w+", shape=(100, 30))
    file[:] = np.arange(3000).reshape(100, 30)
    got, carried = sent(file[10:], store)
    assert isinstance(got, np.ndarray)
    assert np.array_equal(got, file[10:])
    assert carried < LIMIT


@pytest.mark.parametrize("array", [masked(), masked(fill_value=-7.0), np.ma.MaskedArray(PLAIN),
                                   np.ma.array(RECORDS, mask=[(True, False, False, True)] * 200)],
                         ids=["mask", "fill value", "no mask", "structured"])  # fmt: skip
def test_masked_arrays(array, store):
    got, carried = sent(array, store)
    expected = pickle.loads(pickle.dumps(array))
    assert type(got) is np.ma.MaskedArray
    assert np.array_equal(np.ma.getmaskarray(got), np.ma.getmaskarray(expected))
    assert got.filled().tobytes() == expected.filled().tobytes()
    assert str(got.fill_value) == str(expected.fill_value)
    assert carried < 2 * LIMIT


def test_a_subclass_that_pickles_itself_does(store):
    got, carried = sent(labelled(), store)
    assert (type(got), got.label) == (Labelled, "day 1")
    assert np.array_equal(got, PLAIN)
    assert carried < LIMIT  # what it gives to the pickle is an array


@pytest.mark.filterwarnings("ignore:Constructing a DIA")
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", [sp.random, sp.random_array], ids=["matrix", "array"])
def test_sparse(form, kind, store):
    shape = (200, 300)
    matrix = kind(*shape, density=0.1, format=form) if kind is sp.random else kind(shape, density=0.1, format=form)
    got, _ = sent(matrix, store, limit=100)
    assert type(got) is type(matrix)
    assert (got != matrix).nnz == 0
    for part in ("data", "indices", "indptr"):
        if form in ("csr", "csc", "bsr"):
            assert not getattr(got, part).flags.writeable


def frame():
    rows = 400
    return pd.DataFrame(
        {
            "x": RANDOM.normal(size=rows),
            "n": np.arange(rows),
            "when": pd.date_range("2020-01-01", periods=rows, freq="h"),
            "zone": pd.date_range("2020-01-01", periods=rows, freq="h", tz="Europe/Luxembourg"),
            "kind": pd.Categorical(["a", "b"] * (rows // 2)),
            "text": ["short", "a longer text"] * (rows // 2),
            "maybe": pd.array([1, None] * (rows // 2), dtype="Int64"),
            "span": pd.to_timedelta(np.arange(rows), unit="s"),
            "any": [{"n": n} for n in range(rows)],
        },
        index=pd.date_range("1999-01-01", periods=rows, name="day"),
    )


def test_pandas_frames(store):
    got, _ = sent(frame(), store, limit=100)
    pd.testing.assert_frame_equal(got, frame().assign(x=got["x"]))
    numbers = pd.DataFrame(PLAIN)
    got, carried = sent(numbers, store)
    pd.testing.assert_frame_equal(got, numbers)
    assert carried < 2 * LIMIT
    assert not got.to_numpy().flags.writeable


def test_arrow_tables(store):
    table = pa.table({"x": np.arange(1000.0), "s": ["abc", None] * 500, "l": [[1, 2], []] * 500})
    got, carried = sent(table, store, limit=400)
    assert got.equals(table)
    assert carried < 3000


@pytest.mark.parametrize("content", [b"abc" * 100_000, bytearray(b"x" * 300_000), "text" * 100_000, "ä" * 200_000])
def test_bytes_and_text(content, store):
    got, carried = sent({"content": [content, content]}, store)
    assert got == {"content": [content, content]}
    assert type(got["content"][0]) is type(content)
    assert got["content"][0] is got["content"][1]
    assert carried < LIMIT


def test_estimators_and_pipelines(store):
    y = PLAIN[:, 0]
    for last in (KNeighborsRegressor(1), Ridge()):
        model = make_pipeline(StandardScaler(), last)
        got, _ = sent(model.fit(PLAIN, y), store, limit=200)
        assert np.array_equal(got.predict(PLAIN), model.predict(PLAIN))
    neighbours, carried = sent(KNeighborsRegressor(1).fit(PLAIN, y), store)
    assert neighbours._fit_X.tobytes() == PLAIN.tobytes()
    assert carried < 3 * LIMIT


class Tagged(np.ndarray):
    """A subclass that keeps something in its state."""

    def __setstate__(self, state):
        super().__setstate__(state)
        self.tag = "restored"


class Registered(np.ndarray):
    """A subclass that `copyreg` knows."""


def remake(array):
    made = array.view(Registered)
    made.origin = "copyreg"
    return made


copyreg.pickle(Registered, lambda array: (remake, (np.asarray(array),)))


def test_subclasses_that_pickle_themselves_in_other_ways_do(store):
    assert sent(PLAIN.view(Tagged), store)[0].tag == "restored"
    assert sent(PLAIN.view(Registered), store)[0].origin == "copyreg"


def test_lapack_may_overwrite_what_is_read_only_and_only_the_task_sees_it(store):
    """f2py does not ask whether an array can be written; with a read-only map the process would end."""
    symmetric = np.asfortranarray(PLAIN @ PLAIN.T)
    packed = pickle.dumps(CallData(store, LIMIT).pack(symmetric))
    got = loads_function(pickle.loads(packed))[0]
    assert not got.flags.writeable
    values = scipy.linalg.eigh(got, overwrite_a=True)[0]
    assert values == pytest.approx(scipy.linalg.eigh(symmetric)[0])
    assert np.array_equal(loads_function(pickle.loads(packed))[0], symmetric)


def test_closures_partials_defaults_and_methods(store):
    data = PLAIN.copy()

    def total(weight, more=data):
        return float(data.sum() * weight + more.sum())

    class Table:
        def __init__(self):
            self.rows = data

        def size(self):
            return self.rows.size

    for function, expected in (
        (total, data.sum() * 2 + data.sum()),
        (functools.partial(total, more=data[:1]), data.sum() * 2 + data[:1].sum()),
        (lambda _: Table().size(), 2000),
        (functools.partial(lambda table, _: table.size(), Table()), 2000),
    ):
        got, carried = sent(function, store)
        assert got(2) == pytest.approx(expected)
        assert carried < 6 * LIMIT < PLAIN.nbytes


def test_what_is_one_object_stays_one(store):
    data = PLAIN.copy()
    got, _ = sent([data, {"again": data}, (data,)], store)
    assert got[0] is got[1]["again"] is got[2][0]


def test_two_views_of_one_array(store, tmp_path):
    whole = RANDOM.normal(size=(1000, 4))
    top, bottom, column = whole[:500], whole[500:], whole[:, 1]
    got, _ = sent([top, bottom, whole, column], store)
    for arrived, view in zip(got, (top, bottom, whole, column), strict=True):
        assert np.array_equal(arrived, view)
    assert sent(whole.T, store)[0].flags.f_contiguous
    (file,) = tmp_path.iterdir()  # the transposed one has the content of the whole
    assert file.stat().st_size <= sum(part.nbytes for part in (top, bottom, whole, column)) + 3 * 64


def test_small_things_are_not_touched(store, tmp_path):
    got, _ = sent([np.arange(10), "abc", {"x": np.ones(3)}], store)
    assert got[0].flags.writeable
    assert not list(tmp_path.iterdir())
    assert isinstance(CallData(store, LIMIT).pack([1, 2, np.arange(5)]), bytes)


def test_no_limit_leaves_everything_in_the_pickle(store):
    packed = CallData(store, None).pack([PLAIN, b"x" * 1_000_000])
    assert isinstance(packed, bytes)
    assert np.array_equal(pickle.loads(packed)[0], PLAIN)


def test_private_content_can_be_written_and_is_seen_by_nobody_else(store):
    packed = CallData(store, LIMIT, private=True).pack(PLAIN)
    assert isinstance(packed, Payload)
    one, other = (loads_function(pickle.loads(pickle.dumps(packed)))[0] for _ in range(2))
    one[:] = 0
    assert np.array_equal(other, PLAIN)
    assert np.array_equal(loads_function(pickle.loads(pickle.dumps(packed)))[0], PLAIN)


def test_an_object_that_cannot_be_pickled_raises_its_own_error(store):
    with pytest.raises(TypeError, match="cannot pickle 'generator'"):
        CallData(store, LIMIT).pack([PLAIN, (n for n in range(3))])


def leaves():
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    long = st.integers(100, 400).map(lambda n: b"\0\1" * n) | st.integers(0, 200_000).map(lambda n: b"z" * n)
    dtypes = hnp.scalar_dtypes() | hnp.array_dtypes(max_size=3) | hnp.datetime64_dtypes()
    shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=12)
    arrays = dtypes.flatmap(lambda dtype: shapes.map(lambda shape: filled(dtype, shape)))
    every_other = lambda array: array[..., ::2] if array.ndim else array  # noqa: E731
    layouts = st.sampled_from([lambda array: array, np.asfortranarray, np.transpose, every_other])
    laid_out = st.tuples(arrays, layouts).map(lambda pair: pair[1](pair[0]))
    sparse = st.integers(1, 40).map(lambda n: sp.random(n, n, 0.3, format="csr", random_state=n))
    frames = st.integers(1, 60).map(lambda n: pd.DataFrame({"a": np.arange(n), "b": np.arange(n) / 7}))
    return scalars | long | laid_out | sparse | frames


def filled(dtype, shape):
    """An array with some content; what holds text is left empty, for not all bytes are characters."""
    array = np.zeros(shape, dtype)
    if "U" in str(array.dtype.descr) or not array.nbytes:
        return array
    content = (np.arange(array.nbytes) * 37 % (2 if array.dtype.kind == "b" else 251)).astype("u1")
    return content.view(array.dtype).reshape(shape)


def trees():
    return st.recursive(
        leaves(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(st.text(max_size=5), inner, max_size=4)
        ),
        max_leaves=8,
    )


def equal(one, other) -> bool:
    """Tell whether two trees are the same in every type, dtype and bit."""
    assert type(one) is type(other)
    if isinstance(one, np.ndarray):
        same_array(one, other)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        assert all(equal(one[key], other[key]) for key in one)
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        assert all(map(equal, one, other))
    elif sp.issparse(one):
        assert one.shape == other.shape
        assert (one != other).nnz == 0
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
    else:
        assert one == other
    return True


@settings(max_examples=1000, deadline=None)
@given(tree=trees(), limit=st.sampled_from([0, 64, 500, 1 << 20]))
def test_object_trees(tree, limit, tmp_path_factory):
    store = Store(LocalStaging([str(tmp_path_factory.mktemp("data"))]))
    got, _ = sent(tree, store, limit)
    assert equal(got, tree)


def test_a_class_of_deaps_travels_after_another_has_taken_its_name():
    from deap import base, creator

    for name in {"Goal", "Bits"} & vars(creator).keys():  # another test's
        delattr(creator, name)
    creator.create("Goal", base.Fitness, weights=(1.0,))
    creator.create("Bits", list, fitness=creator.Goal)
    old = creator.Bits([1, 0])
    del creator.Bits
    creator.create("Bits", list, fitness=creator.Goal, label="new")
    for bits in (old, creator.Bits([0, 1])):
        again, kind = pickle.loads(dumps_result([bits, type(bits)]))
        assert again == bits
        assert again.fitness.weights == (1.0,)
        assert hasattr(again, "label") == hasattr(bits, "label")
        assert hasattr(kind, "label") == hasattr(bits, "label")
    assert creator.Bits.label == "new"
    del creator.Bits, creator.Goal

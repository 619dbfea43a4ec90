"""Functions and object trees whose arrays are taken out of a pickle arrive equal."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from packed_data import LIMIT, PLAIN, pack, same_array, sent

from hpcml.data.call_data import CallData
from hpcml.data.loading import loads_function
from hpcml.data.out_of_band import dumps_result
from hpcml.data.packed import Payload
from hpcml.data.staging.file_system import LocalStaging
from hpcml.data.staging.store import Store


def test_arrays_in_closures_partials_defaults_and_methods_are_taken_out(store):
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


def test_one_object_stays_one_object(store):
    data = PLAIN.copy()
    got, _ = sent([data, {"again": data}, (data,)], store)
    assert got[0] is got[1]["again"] is got[2][0]


def test_small_content_stays_in_the_pickle(store, tmp_path):
    got, _ = sent([np.arange(10), "abc", {"x": np.ones(3)}], store)
    assert got[0].flags.writeable
    assert not list(tmp_path.iterdir())
    assert isinstance(pack(CallData(store, LIMIT), [1, 2, np.arange(5)]), bytes)


def test_no_limit_leaves_everything_in_the_pickle(store):
    packed = pack(CallData(store, None), [PLAIN, b"x" * 1_000_000])
    assert isinstance(packed, bytes)
    assert np.array_equal(pickle.loads(packed)[0], PLAIN)


def test_private_content_can_be_written_by_one_task_alone(store):
    packed = pack(CallData(store, LIMIT, private=True), PLAIN)
    assert isinstance(packed, Payload)
    one, other = (loads_function(pickle.loads(pickle.dumps(packed)))[0] for _ in range(2))
    one[:] = 0
    assert np.array_equal(other, PLAIN)
    assert np.array_equal(loads_function(pickle.loads(pickle.dumps(packed)))[0], PLAIN)


def test_an_object_that_cannot_be_pickled_raises_its_own_error(store):
    with pytest.raises(TypeError, match="cannot pickle 'generator'"):
        pack(CallData(store, LIMIT), [PLAIN, (n for n in range(3))])


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
    """Return an array with some content; text stays empty, for not all bytes are characters."""
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
    """Return True where two trees agree in every type, dtype and bit; AssertionError otherwise."""
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
def test_object_trees_arrive_equal(tree, limit, tmp_path_factory):
    store = Store(LocalStaging([str(tmp_path_factory.mktemp("data"))]))
    got, _ = sent(tree, store, limit)
    assert equal(got, tree)


def test_a_class_of_deaps_is_sent_after_another_has_taken_its_name():
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

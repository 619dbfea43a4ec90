"""Sparse matrices, data frames, bytes and estimators whose parts are taken out of a pickle arrive equal."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from packed_data import LIMIT, PLAIN, RANDOM, sent
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@pytest.mark.filterwarnings("ignore:Constructing a DIA")
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", [sp.random, sp.random_array], ids=["matrix", "array"])
def test_sparse_matrices_arrive_equal(form, kind, store):
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


def test_pandas_frames_arrive_equal(store):
    got, _ = sent(frame(), store, limit=100)
    pd.testing.assert_frame_equal(got, frame().assign(x=got["x"]))
    numbers = pd.DataFrame(PLAIN)
    got, carried = sent(numbers, store)
    pd.testing.assert_frame_equal(got, numbers)
    assert carried < 2 * LIMIT
    assert not got.to_numpy().flags.writeable


def test_arrow_tables_arrive_equal(store):
    table = pa.table({"x": np.arange(1000.0), "s": ["abc", None] * 500, "l": [[1, 2], []] * 500})
    got, carried = sent(table, store, limit=400)
    assert got.equals(table)
    assert carried < 3000


@pytest.mark.parametrize("content", [b"abc" * 100_000, bytearray(b"x" * 300_000), "text" * 100_000, "ä" * 200_000])
def test_long_bytes_and_text_are_taken_out_of_the_pickle(content, store):
    got, carried = sent({"content": [content, content]}, store)
    assert got == {"content": [content, content]}
    assert type(got["content"][0]) is type(content)
    assert got["content"][0] is got["content"][1]
    assert carried < LIMIT


def test_estimators_predict_the_same(store):
    y = PLAIN[:, 0]
    for last in (KNeighborsRegressor(1), Ridge()):
        model = make_pipeline(StandardScaler(), last)
        got, _ = sent(model.fit(PLAIN, y), store, limit=200)
        assert np.array_equal(got.predict(PLAIN), model.predict(PLAIN))
    neighbours, carried = sent(KNeighborsRegressor(1).fit(PLAIN, y), store)
    assert neighbours._fit_X.tobytes() == PLAIN.tobytes()
    assert carried < 3 * LIMIT

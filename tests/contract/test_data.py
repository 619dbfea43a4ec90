"""Large data in tasks: once per node, read-only, the same results as in one process."""

import functools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from joblib import Parallel, delayed, parallel_config
from patience import promised
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from tasks import about, assign, die_once, fail_with, mark_or_fail, total, value_about

import hpcml
from hpcml.cluster.joblib.batches import batches_of

RANDOM = np.random.default_rng(7)
LARGE = RANDOM.normal(size=(1000, 200))  # 1.6 MB
SMALL = LARGE[:10].copy()


def test_large_arrays_are_mapped_and_small_ones_are_not(cluster):
    mapped, summed = cluster.submit(about, LARGE).result()
    assert mapped
    assert summed == LARGE.sum()
    assert cluster.submit(about, SMALL).result() == (False, SMALL.sum())
    assert cluster.submit(about, array=LARGE).result()[0]


def test_large_arrays_in_functions_arguments_and_containers_are_mapped(cluster):
    def closure(_):
        return about(LARGE)

    expected = [(True, LARGE.sum())] * 2
    assert list(cluster.map(closure, range(2))) == expected
    assert list(cluster.map(about, [LARGE, LARGE])) == expected
    assert list(cluster.map(functools.partial(about, LARGE), [])) == []
    assert [cluster.submit(functools.partial(about, LARGE)).result() for _ in range(2)] == expected
    with parallel_config("hpcml"):
        assert Parallel()(delayed(about)(LARGE) for _ in range(2)) == expected
    nested = {"a": [(LARGE,)]}
    assert cluster.submit(lambda tree: about(tree["a"][0][0]), nested).result() == expected[0]


def test_bytes_that_are_sent_are_counted_large_data_once_for_each_node(cluster):
    before = cluster.sent_nbytes
    whole = RANDOM.normal(size=(1000, 200))
    assert list(cluster.map(lambda number: number + len(whole), range(8))) == list(range(1000, 1008))
    once = cluster.sent_nbytes - before
    rows = list(RANDOM.normal(size=(1000, 200)))
    assert list(cluster.map(len, [rows] * 8)) == [1000] * 8
    in_each = cluster.sent_nbytes - before - once
    nodes = len(cluster.hosts)
    assert nodes * whole.nbytes <= once < 1.2 * nodes * whole.nbytes
    assert 8 * whole.nbytes <= in_each < 1.2 * 8 * whole.nbytes


def length_after(data, number):
    time.sleep(0.002)
    return len(data) + number


def test_large_bytes_that_all_calls_of_a_map_share_are_sent_once(cluster):
    data, before = os.urandom(1 << 21), cluster.sent_nbytes
    assert list(cluster.map(length_after, [data] * 60, range(60))) == [len(data) + number for number in range(60)]
    assert cluster.sent_nbytes - before < 1.5 * len(data) * len(cluster.hosts)


def test_large_frames_sparse_matrices_and_bytes_arrive_equal(cluster):
    frame = pd.DataFrame(LARGE)
    assert cluster.submit(lambda f: float(f.to_numpy().sum()), frame).result() == LARGE.sum()
    assert cluster.submit(lambda f: f.to_numpy().flags.writeable, frame).result() is False
    matrix = sp.random(2000, 2000, 0.1, format="csr", random_state=1)
    assert cluster.submit(lambda m: (m.sum(), m.data.flags.writeable), matrix).result() == (matrix.sum(), False)
    content = os.urandom(3_000_000)
    assert cluster.submit(lambda c: c == c[:1] + c[1:] and len(c), content).result() == 3_000_000
    assert cluster.submit(lambda c: c, content).result() == content


def test_a_search_equals_that_of_one_process_and_sees_changed_content(cluster):
    X, y = RANDOM.normal(size=(1500, 120)), RANDOM.integers(0, 2, 1500)
    X[:, 3] += y
    model = make_pipeline(PCA(5, svd_solver="full"), LogisticRegression())
    search = GridSearchCV(model, {"logisticregression__C": [0.01, 1, 100]}, cv=3, n_jobs=-1)
    for _ in range(2):
        with parallel_config("hpcml"):
            found = search.fit(X, y).cv_results_["mean_test_score"]
        expected = search.set_params(n_jobs=1).fit(X, y).cv_results_["mean_test_score"]
        assert found == pytest.approx(expected, abs=1e-12)
        search.set_params(n_jobs=-1)
        X[:] = RANDOM.normal(size=X.shape)  # the second fit must not read the first one's data


def test_changed_content_is_sent_again(cluster):
    data = np.ones(300_000)
    for expected in (300_000.0, 600_000.0, 900_000.0):
        assert cluster.submit(total, data).result() == expected
        assert list(cluster.map(total, [data] * 3)) == [expected] * 3
        with parallel_config("hpcml"):
            assert Parallel()(delayed(total)(data) for _ in range(3)) == [expected] * 3
        data += 1


def test_writing_raises_numpys_error_with_the_way_to_a_copy(cluster):
    with pytest.raises(ValueError, match="read-only") as caught:
        cluster.submit(assign, LARGE).result()
    (note,) = caught.value.__notes__
    assert "X = X.copy()" in note
    assert "mmap_mode='c'" in note
    with parallel_config("hpcml"), pytest.raises(ValueError, match="read-only"):
        Parallel()(delayed(assign)(LARGE) for _ in range(2))
    assert cluster.submit(lambda x: assign(x.copy()), LARGE).result() == 0.0
    with parallel_config("hpcml"):
        Ridge().fit(LARGE, LARGE[:, 0])


def test_joblibs_mmap_mode_and_max_nbytes_are_honoured(cluster):
    kept = LARGE.copy()
    with parallel_config("hpcml"):
        assert Parallel(mmap_mode="c")(delayed(assign)(kept) for _ in range(4)) == [0.0] * 4
        # The tasks before wrote to copies.
        assert Parallel()(delayed(total)(kept) for _ in range(2)) == [LARGE.sum()] * 2
        for options in ({"mmap_mode": None}, {"max_nbytes": None}, {"max_nbytes": "5M"}):
            new = RANDOM.normal(size=200_000)
            assert Parallel(**options)(delayed(about)(new) for _ in range(2)) == [(False, new.sum())] * 2
        assert Parallel(max_nbytes=1000)(delayed(about)(SMALL) for _ in range(2)) == [(True, SMALL.sum())] * 2
        with pytest.raises(ValueError, match=r"mmap_mode='r\+': tasks on several nodes cannot write"):
            Parallel(mmap_mode="r+")(delayed(total)(kept) for _ in range(2))


def test_a_handle_is_used_by_tasks_until_it_is_closed(cluster):
    value = {"array": LARGE, "names": [f"name {n}" for n in range(100_000)]}
    with cluster.broadcast(value) as handle:
        assert handle.value is value
        expected = (True, LARGE.sum(), "name 99999")
        assert list(cluster.map(value_about, [handle] * 5)) == [expected] * 5
        with parallel_config("hpcml"):
            assert Parallel()(delayed(value_about)(handle) for _ in range(3)) == [expected] * 3
        assert cluster.submit(lambda: value_about(handle)).result() == expected
        late = cluster.submit(value_about, handle)
    assert late.result() == expected
    with pytest.raises(hpcml.HpcmlError, match="this broadcast handle is closed"):
        cluster.submit(value_about, handle)


def test_small_objects_can_be_broadcast(cluster):
    handle = cluster.broadcast([1, 2, 3])
    assert cluster.submit(lambda: sum(handle.value)).result() == 6


def test_a_handle_does_not_come_back_from_a_task(cluster):
    handle = cluster.broadcast(LARGE)
    with pytest.raises(hpcml.HpcmlError, match="cannot be sent back: a broadcast handle is sent to tasks"):
        cluster.submit(lambda: handle).result()


def test_returned_and_raised_arrays_can_be_written(cluster):
    result = cluster.submit(lambda x: x[:5], LARGE).result()
    assert np.array_equal(result, LARGE[:5])
    result[:] = 0
    with pytest.raises(KeyError) as caught:
        cluster.submit(fail_with, LARGE).result()
    assert np.array_equal(caught.value.args[0], LARGE[:5])
    caught.value.args[0][:] = 0


def test_the_note_on_read_only_data_is_on_such_errors_alone(cluster):
    def fail(_):
        raise ValueError("the database was opened read-only")

    with pytest.raises(ValueError, match="the database") as caught:
        cluster.submit(fail, LARGE).result()
    assert not hasattr(caught.value, "__notes__")


def test_an_object_beside_a_handle_that_cannot_be_sent_is_named(cluster):
    handle = cluster.broadcast(LARGE)
    with pytest.raises(hpcml.TaskError, match=r"\['lock'\] is a _thread.lock"):
        cluster.submit(print, {"data": handle, "lock": threading.Lock()})
    with pytest.raises(hpcml.TaskError, match=r"\['lock'\] is a _thread.lock"):
        cluster.broadcast({"data": LARGE, "lock": threading.Lock()})


@pytest.fixture
def slow_sending(cluster, monkeypatch):
    """Make the staging of a file 0.4 s longer."""
    staging = cluster._session.workers.staging
    put = staging.put
    monkeypatch.setattr(staging, "put", lambda *args: time.sleep(0.4) or put(*args))


def test_calls_that_wait_for_their_data_when_a_search_fails_never_run(cluster, slow_sending, tmp_path):
    """The second task fails as soon as its data is staged; the data of ten more waits by then."""
    chunks = [np.full(200_000, float(n)) for n in range(12)]
    marks = str(tmp_path)
    with pytest.raises(KeyError, match="chunk 1"):
        Parallel(n_jobs=2, backend="hpcml", batch_size=1, pre_dispatch="all")(
            delayed(mark_or_fail)(chunk, marks) for chunk in chunks
        )
    last = np.full(200_000, -1.0)  # staged after all waiting data
    assert Parallel(n_jobs=2, backend="hpcml")(delayed(total)(last) for _ in range(2)) == [-200_000.0] * 2
    assert len(list(tmp_path.iterdir())) < 6


def test_results_arrive_while_joblib_sends_data(cluster, slow_sending):
    """A call of another thread must not wait for the chunks of the search."""
    chunks = (np.full(200_000, float(n)) for n in range(8))
    sums: list[float] = []

    def search():
        sums.extend(Parallel(n_jobs=2, backend="hpcml", pre_dispatch=2, batch_size=1)(map(delayed(total), chunks)))

    thread = threading.Thread(target=search)
    thread.start()
    waits = []
    while thread.is_alive():
        began = time.monotonic()
        assert cluster.submit(pow, 2, 5).result(timeout=30) == 32
        waits.append(time.monotonic() - began)
        time.sleep(0.02)
    assert sums == [200_000.0 * n for n in range(8)]
    assert sorted(waits)[len(waits) * 9 // 10] < promised(0.3)


def test_replaced_workers_find_the_data(cluster, tmp_path):
    data = RANDOM.normal(size=300_000)
    expected = [data.sum()] * 12
    mark = str(tmp_path / "died")
    assert list(cluster.map(functools.partial(die_once, data, mark), range(12))) == expected


def test_a_local_cluster_leaves_no_file(tmp_path):
    def locked():
        """Return the data directories of this process; other runs have directories in the same places."""
        open_files = [Path(os.path.realpath(link)) for link in Path("/proc/self/fd").iterdir()]
        return {path.parent for path in open_files if path.name == "owner"}

    before = locked()
    with hpcml.Cluster("local", slots_per_node=1, run_dir=tmp_path, progress=False) as cluster:
        assert cluster.submit(total, LARGE).result() == LARGE.sum()
        ours = locked() - before
        assert Path("/dev/shm") in {path.parent for path in ours}
        assert any(len(list(path.iterdir())) > 1 for path in ours)
    assert not any(path.exists() for path in ours)


def test_bad_options_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"Cluster\(max_nbytes='1M'\): it must be a number of bytes, or None"):
        hpcml.Cluster(max_nbytes="1M")
    with pytest.raises(ValueError, match=r"Cluster\(data_dir='.*gone'\) is not a directory that you can write to"):
        hpcml.Cluster(data_dir=tmp_path / "gone")


def test_data_dir_is_the_directory_of_the_data(tmp_path):
    with hpcml.Cluster("local", slots_per_node=1, data_dir=tmp_path, run_dir=tmp_path, progress=False) as cluster:
        assert cluster.submit(about, LARGE).result() == (True, LARGE.sum())
        (directory,) = tmp_path.glob("hpcml-*")
        assert LARGE.nbytes in [path.stat().st_size for path in directory.iterdir()]
    assert not list(tmp_path.glob("hpcml-*"))


def test_a_batch_for_a_closed_cluster_is_refused(tmp_path):
    with hpcml.Cluster("local", slots_per_node=2, run_dir=tmp_path, progress=False) as cluster:
        batches = batches_of(cluster)
    with pytest.raises(RuntimeError, match="this Cluster is shut down"):
        batches.submit_batch([], "group", 2, batches.open_call(None, False), print)

"""The joblib backend without workers: numbers of jobs, refused settings, batches that cannot be submitted."""

import subprocess
import sys
from types import SimpleNamespace

import joblib
import pytest

from hpcml.cluster.joblib import backend as module
from hpcml.cluster.joblib.backend import HpcmlBackend
from hpcml.cluster.joblib.default import DefaultBackend
from hpcml.cluster.joblib.registration import register_backend
from hpcml.errors import HpcmlError


@pytest.fixture
def backend(monkeypatch):
    monkeypatch.setattr(module, "current_cluster", lambda asked: SimpleNamespace(slots=8))
    return HpcmlBackend()


@pytest.mark.parametrize(
    ("asked", "jobs"), [(-1, 8), (-2, 7), (-8, 1), (-99, 1), (1, 1), (3, 3), (99, 8), (None, 1)]
)
def test_jobs_are_slots_of_the_cluster(backend, asked, jobs):
    assert backend.effective_n_jobs(asked) == jobs


def test_no_jobs_at_all_have_no_meaning(backend):
    with pytest.raises(ValueError, match=r"n_jobs == 0 in Parallel has no meaning: use n_jobs=-1"):
        backend.effective_n_jobs(0)


def test_within_a_task_there_is_one_job(backend, monkeypatch):
    monkeypatch.setattr(module, "current_worker", lambda: "n1:3")
    assert backend.effective_n_jobs(-1) == 1


def test_maps_that_tasks_would_write_to_are_refused(backend):
    with pytest.raises(ValueError, match=r"mmap_mode='w\+': tasks on several nodes cannot write to one array"):
        backend.configure(n_jobs=2, mmap_mode="w+")


def test_one_job_runs_in_this_process(backend):
    fallback = module._joblib.backends.FallbackToBackend
    with pytest.raises(fallback) as raised:
        backend.configure(n_jobs=1)
    assert type(raised.value.backend).__name__ == "SequentialBackend"


def test_without_a_cluster_the_error_says_who_asked():
    with pytest.raises(HpcmlError, match=r"^joblib was asked for the backend 'hpcml', but no Cluster is open"):
        joblib.Parallel(n_jobs=2, backend="hpcml")(joblib.delayed(abs)(n) for n in range(2))


@pytest.mark.parametrize("error", [RuntimeError("this Cluster is shut down"), HpcmlError("of joblib")])
def test_a_batch_that_cannot_be_submitted_fails_its_future(backend, error):
    """joblib would wait for ever for a batch whose submission raises."""

    def refuse(*_):
        raise error

    backend._batches = SimpleNamespace(submit_batch=refuse)
    backend._calls = None
    done = []
    future = backend.submit(SimpleNamespace(items=[]), done.append)
    with pytest.raises(type(error), match=str(error)):
        backend.retrieve_result_callback(future)
    assert done == [future]
    assert not backend._futures


def test_the_default_backend_uses_workers_only_where_jobs_are_asked_for():
    assert DefaultBackend.default_n_jobs == 1
    assert HpcmlBackend.default_n_jobs == -1


def test_joblib_finds_the_backend_by_its_name():
    register_backend()
    with joblib.parallel_config("hpcml"):
        chosen, _ = joblib.parallel.get_active_backend()
    assert isinstance(chosen, HpcmlBackend)


LATER = """
import sys
import hpcml
import importlib.util
before = importlib.util.find_spec("joblib").origin
import joblib
assert joblib.__file__ == before
assert type(joblib.__loader__).__name__ == type(joblib.__spec__.loader).__name__ == "SourceFileLoader"
assert not any("hpcml.cluster.joblib" in type(finder).__module__ for finder in sys.meta_path)
with joblib.parallel_config("hpcml"):
    print(type(joblib.parallel.get_active_backend()[0]).__name__)
"""


@pytest.mark.parametrize("first", ["", "import joblib\n", "import hpcml.cluster.joblib.backend\n"])
def test_joblib_finds_the_backend_whichever_is_imported_first(first):
    done = subprocess.run([sys.executable, "-c", first + LATER], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("HpcmlBackend\n", "")


def test_an_import_of_joblib_that_fails_can_be_made_again(tmp_path):
    """A user's own joblib may be broken, and mended; the error is Python's own."""
    code = """
import sys, hpcml
path = sys.argv[1]
sys.path.insert(0, path)
try:
    import joblib
except ZeroDivisionError:
    sys.path.remove(path)
    sys.modules.pop("joblib", None)
import joblib
print("hpcml" in joblib.parallel.BACKENDS)
"""
    (tmp_path / "joblib.py").write_text("1 / 0")
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True\n", "")

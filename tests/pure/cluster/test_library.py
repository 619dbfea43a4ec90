"""The parts of joblib that are used here: one that lacks is named, with the versions that have it."""

import subprocess
import sys
from types import SimpleNamespace

import joblib
import pytest

from hpcml.cluster.joblib import library
from hpcml.cluster.joblib.library import calls_in_batch, check_parts, load, number_of_calls
from hpcml.errors import HpcmlError

ADVICE = r"hpcml works with joblib >= 1\.6, < 1\.7\. Type `pip install 'joblib>=1\.6,<1\.7'`"


@pytest.mark.parametrize("path", [f"{path}.{name}" for path, names in library.USED.items() for name in names])
def test_a_part_that_is_gone_is_named(path, monkeypatch):
    *steps, name = path.split(".")
    parts = load()
    part = parts
    for step in steps:
        part = getattr(part, step)
    monkeypatch.delattr(part, name)
    with pytest.raises(HpcmlError, match=rf"^joblib {joblib.__version__} has no {path}: {ADVICE}"):
        check_parts(parts)


def test_without_the_private_module_the_error_is_the_same():
    code = (
        "import sys\n"
        "import joblib\n"
        "import hpcml\n"  # works as it is: the backend is looked at when joblib is asked for it
        "sys.modules['joblib._parallel_backends'] = None\n"
        "del joblib._parallel_backends\n"
        "try:\n"
        "    joblib.Parallel(2, backend='hpcml')(joblib.delayed(abs)(n) for n in range(3))\n"
        "except hpcml.HpcmlError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"joblib {joblib.__version__} has no _parallel_backends: hpcml works with joblib >= 1.6" in done.stdout


def test_a_parallel_or_a_batch_without_the_attribute_is_named():
    with pytest.raises(HpcmlError, match=rf"has no parallel\.Parallel\._original_iterator: {ADVICE}"):
        number_of_calls(SimpleNamespace(n_tasks=None))
    with pytest.raises(HpcmlError, match=rf"has no parallel\.BatchedCalls\.items: {ADVICE}"):
        calls_in_batch(SimpleNamespace())


@pytest.mark.parametrize(
    ("tasks", "iterator", "number"),
    [(3, iter([]), 3), (None, iter([1, 2]), 2), (None, (n for n in "ab" if n), None), (None, None, None)],
)
def test_the_number_of_calls_is_that_of_the_iterable(tasks, iterator, number):
    assert number_of_calls(SimpleNamespace(n_tasks=tasks, _original_iterator=iterator)) == number


def test_a_parallel_of_this_joblib_has_these_attributes():
    seen = []

    class Backend(joblib.parallel.ThreadingBackend):
        def compute_batch_size(self):
            seen.append(number_of_calls(self.parallel))
            return 1

        def configure(self, n_jobs=1, parallel=None, **settings):
            self.parallel = parallel
            return super().configure(n_jobs, parallel, **settings)

        def submit(self, func, callback=None):
            seen.append(len(calls_in_batch(func)))
            return super().submit(func, callback)

    joblib.Parallel(n_jobs=2, backend=Backend())(joblib.delayed(abs)(n) for n in range(5))
    assert seen[:2] == [5, 1]

"""Code blocks of the book, on this computer; pages that need Slurm: tests/slurm, torch: tests/thirdparty."""

import importlib.util
import shutil

import book
import pytest
from patience import patient

BLOCK_SECONDS = 120
REDIS = shutil.which("redis-server") and importlib.util.find_spec("redis")
MPI = shutil.which("mpirun") and importlib.util.find_spec("mpi4py")
PAGES = [page for page in book.pages() if not page.needs_slurm and not page.needs_torch]


def read_through(page, directory):
    book.read_through(page, directory, book.reader(directory, patient(BLOCK_SECONDS)))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.name,
            marks=[
                pytest.mark.skipif(page.needs_mpi and not MPI, reason="there is no mpirun, or no mpi4py"),
                pytest.mark.skipif(page.needs_redis and not REDIS, reason="there is no redis-server, or no redis"),
            ],
        )
        for page in PAGES
    ],
)
def test_the_code_blocks_of_a_page_run(page, tmp_path):
    read_through(page, tmp_path)


TEXT = """
Title
=====

.. code-block:: python
   :caption: folder/count.py

   import sys
   sys.exit(len(sys.argv) - 1)

.. note::

   .. code-block:: bash

      python folder/count.py
      hpcml info >~/facts

   See :doc:`another`.

.. code-block:: python

   import hpcml, pathlib
   assert pathlib.Path("~/facts").expanduser().read_text()

.. code-block:: text

   exit 1
"""


def test_blocks_are_saved_and_run_in_order(tmp_path):
    read_through(book.read("a", TEXT), tmp_path)
    with pytest.raises(book.BookError, match=r"a\.rst, line 13: exit status 2"):
        read_through(book.read("a", TEXT.replace("count.py\n      hpcml", "count.py 1 2\n      hpcml")), tmp_path)


def test_a_file_of_the_repository_is_saved_and_run(tmp_path):
    text = (
        ".. literalinclude:: ../../showers/showers.py\n   :caption: made.py\n\n"
        ".. code-block:: bash\n\n   python -c 'import made; assert made.simulate(3, 1)[1].shape == (3, 24, 12)'\n"
    )
    read_through(book.read("guide/a", text), tmp_path)
    with pytest.raises(book.BookError, match=r"there is no file .*tutorials/showers/none.py"):
        read_through(book.read("guide/a", text.replace("showers.py", "none.py")), tmp_path)


def test_a_block_that_is_meant_to_fail_fails(tmp_path):
    text = ".. code-block:: bash\n   :class: fails\n\n   exit 3\n"
    read_through(book.read("a", text), tmp_path)
    with pytest.raises(book.BookError, match="exit status 0"):
        read_through(book.read("a", text.replace("exit 3", "exit 0")), tmp_path)


def test_pip_installs_nothing(tmp_path):
    book.copied_repository(tmp_path / "here")
    text = ".. code-block:: bash\n\n   python -m pip install '.[sklearn]' | grep 'Would install hpcml'\n"
    read_through(book.read("a", text), tmp_path)
    with pytest.raises(book.BookError, match="exit status 1"):
        read_through(book.read("a", text.replace("'.[", "'./no[")), tmp_path)


def test_a_warning_is_an_error(tmp_path):
    text = '.. code-block:: python\n\n   import warnings\n   warnings.warn("old")\n'
    with pytest.raises(book.BookError, match="UserWarning: old"):
        read_through(book.read("a", text), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Print::\n\n   print(1)\n", "line 3: neither python, bash, text"),
        (".. code-block:: yaml\n\n   a: 1\n", "line 1: .*: 'yaml'"),
        (".. code-block:: bash\n   :caption: a.sh\n\n   #SBATCH -n1\n", "line 1: no block submits a.sh"),
        (".. unheard-of::\n\n   .. code-block:: bash\n\n      exit 1\n", "unheard-of"),
    ],
)
def test_a_block_that_is_neither_run_nor_text_is_refused(text, message, tmp_path):
    with pytest.raises(book.BookError, match=message):
        read_through(book.read("a", text), tmp_path)


@pytest.mark.parametrize(
    ("line", "needs"),
    [
        ("sbatch job.sbatch", True),
        ("hpcml submit a.py", True),
        ("cat sbatch.txt", False),
        ("hpcml run a.py", False),
        ("python -c 'hpcml.Cluster(slots_per_node=2, nodes=2)'", True),
    ],
)
def test_pages_that_ask_for_slurm_are_known(line, needs):
    assert bool(book.read("a", f".. code-block:: bash\n\n   ls\n   {line}\n").needs_slurm) == needs

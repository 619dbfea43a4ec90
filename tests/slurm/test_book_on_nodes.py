"""Code blocks of the pages of the book that need Slurm, on the login node of a real one."""

import book
import pytest
from patience import patient, wait_until

BLOCK_SECONDS = 120
PAGES = [page for page in book.pages() if page.needs_slurm]


def last_job(cluster):
    """Return the number of the last job; "" where there is none."""
    shown = cluster.call(["squeue", "--all", "--states=all", "--noheader", "--format=%A"]).stdout
    return max(shown.split(), key=int, default="")


def read_through(page, cluster):
    """Run the blocks of a page, and wait until its jobs have ended."""
    if page.name == "README":
        book.copied_repository(cluster.shared_dir / "here")
    variables = book.environment(cluster.shared_dir)

    def execute(words, here):
        done = cluster.run(words, env=variables, timeout=BLOCK_SECONDS, cwd=here)
        return done.returncode, done.stdout + done.stderr

    book.read_through(page, cluster.shared_dir, execute, lambda: last_job(cluster))
    waiting = ["squeue", "--all", "--noheader"]
    wait_until(lambda: not cluster.call(waiting).stdout, BLOCK_SECONDS, lambda: cluster.call(waiting).stdout)


@pytest.mark.release("24.11")
@pytest.mark.timeout(patient(400))
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_blocks_of_a_page_run(cluster, page):
    read_through(page, cluster)


TEXT = """
.. code-block:: bash
   :caption: job.sbatch

   #!/bin/bash
   #SBATCH --nodes=2
   echo "$SLURM_JOB_NODELIST" >"nodes-$SLURM_JOB_ID"

.. code-block:: bash

   sbatch --wait job.sbatch

.. code-block:: bash

   grep -F "n[1-2]" nodes-JOB
"""


@pytest.mark.release("24.11")
def test_a_job_of_a_page_is_known_by_its_number(cluster):
    read_through(book.read("a", TEXT), cluster)
    with pytest.raises(book.BookError, match=r"line 13: exit status 1"):
        read_through(book.read("a", TEXT.replace("1-2", "1-4")), cluster)

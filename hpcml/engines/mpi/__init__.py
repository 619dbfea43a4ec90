"""Engine ``mpi``: a relay on each node, joined by MPI in one Slurm step, and workers that are in no MPI.

The user's script stays outside of MPI. On one node, and without Slurm, there is no MPI at all.

::

    script ── link ──> relay of one node ── MPI ──> relay of each node ── socket ──> worker
"""

import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hpcml.data.staging.directories import remove_left
from hpcml.engines.interface import Workers
from hpcml.engines.mpi.news import MpiNews
from hpcml.engines.mpi.startup import wait_ready
from hpcml.engines.nodes.granted import await_grant, warn_of_gpus
from hpcml.engines.nodes.staged_python import staged
from hpcml.engines.plan import Plan
from hpcml.slurm.process import Inbox

__all__ = ["start"]

STOP_SECONDS = 5.0
FAILED_START_STOP_SECONDS = 2.0


@contextmanager
def start(plan: Plan) -> Iterator[Workers]:
    """Start the step of the relays and workers; at the end no process, step or file of theirs is left."""
    with staged(await_grant(plan)) as started:
        inbox: Inbox = queue.SimpleQueue()
        news = MpiNews(started, inbox)
        deadline = time.monotonic() + plan.timeout
        news.recovery.start(started.nodes)
        try:
            wait_ready(started, news, inbox, deadline)
            warn_of_gpus(started, news.gpus)
            news.workers.staging = news.data.staging(news.starter.environment)
            news.start_watching()
            yield news.workers
        finally:
            grace = STOP_SECONDS if news.recovery.is_watching else FAILED_START_STOP_SECONDS
            news.stop(grace)
            remove_left(started.data_name, started.data_places)

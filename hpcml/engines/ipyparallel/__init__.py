"""Engine ``ipyparallel``: a controller and one launcher per node, as two Slurm steps, and CURVE between them.

Without an allocation the same programs run on this computer. See `message_types` for their messages, and
`launcher` for why engines are forked.

::

    startup ──> fleet                  starts the programs: controller and launchers
    fleet ── inbox ──> news            messages: to node_data, controller_address, liveness and workers
    watch ──> recovery                 after the start: lost programs are started again
    news ──> world                     with Cluster(mpi=True): the engines are ranks of MPI, all replaced with one
    workers ──> client ──> controller  frames to the engines, and their outcomes back
"""

from collections.abc import Iterator
from contextlib import contextmanager

from hpcml.data.staging.directories import remove_left
from hpcml.engines.interface import Workers
from hpcml.engines.ipyparallel.startup import Startup
from hpcml.engines.nodes.granted import await_grant
from hpcml.engines.nodes.staged_python import staged
from hpcml.engines.plan import Plan

__all__ = ["start"]


@contextmanager
def start(plan: Plan) -> Iterator[Workers]:
    """Start the controller and the engines; at the end no process, step or file of theirs is left."""
    with staged(await_grant(plan)) as started:
        startup = Startup(started)
        try:
            yield startup.run()
        finally:
            startup.stop()
            remove_left(started.data_name, started.data_places)

"""Workers of a Cluster: their number and hosts, the jobs that have them, and more or fewer of them."""

from pathlib import Path
from typing import Any

from hpcml.cluster.current import ipyparallel_workers
from hpcml.cluster.fleet.job import JobRow
from hpcml.cluster.session import Session
from hpcml.errors import HpcmlError

__all__ = ["Workforce"]


class Workforce:
    """The part of `hpcml.Cluster` that is about its workers and jobs."""

    _session: Session

    @property
    def slots(self) -> int:
        """Number of tasks that run at once."""
        return self._session.workers.slots

    @property
    def hosts(self) -> tuple[str, ...]:
        """The nodes that have workers, in Slurm's order."""
        return self._session.workers.hosts

    @property
    def sent_nbytes(self) -> int:
        """Bytes that were sent to the workers so far: those of tasks, and of large data, once for each node.

        Results, and data that was sent again after a loss, are not counted.

        Examples
        --------
        >>> import hpcml, numpy
        >>> with hpcml.Cluster(engine="local", slots_per_node=2, progress=False) as cluster:
        ...     found = list(cluster.map(len, [numpy.zeros(1_000_000)] * 10))
        ...     8_000_000 < cluster.sent_nbytes < 9_000_000
        True
        """
        return self._session.dispatcher.sent_nbytes + self._session.store.put_nbytes * len(self.hosts)

    @property
    def run_dir(self) -> Path:
        """The directory of this run: its journal, and logs."""
        return self._session.run_dir

    @property
    def jobs(self) -> tuple[JobRow, ...]:
        """The jobs that this Cluster has submitted, and that have not ended; see `JobRow`."""
        fleet = self._session.fleet
        return () if fleet is None else fleet.rows()

    @property
    def client(self) -> Any:
        """A client of ipyparallel's own, for views and magics; only with the ipyparallel engine, in one job.

        To close or shut it down ends nothing of the Cluster's.
        """
        return ipyparallel_workers(self).client

    def scale(self, nodes: int) -> None:
        """Have `nodes` nodes from now on: jobs are submitted, or whole jobs end after their present tasks.

        Jobs have as many nodes as ``nodes_per_job`` allows, or as the Cluster was opened with; so a Cluster may
        keep a few nodes more than `nodes`.

        Raises
        ------
        SubmissionError
            Slurm refuses a job.
        HpcmlError
            This Cluster has submitted no job.

        Examples
        --------
        With a Cluster that was opened with ``nodes=4, nodes_per_job=2``: ``cluster.scale(nodes=8)``.
        """
        if not isinstance(nodes, int) or nodes < 1:
            raise ValueError(f"scale(nodes={nodes!r}): it must be a whole number, 1 or more")
        self._sized().set_nodes(nodes)

    def adapt(self, minimum: int = 1, maximum: int = 1) -> None:
        """Have the number of nodes follow the work, from `minimum` to `maximum`; `scale` ends that.

        A call that waits is worth a slot, where it means ten seconds of work. Jobs are added at once, and end
        after half a minute with less work. With ``minimum=0`` a Cluster without tasks has no job.

        Raises
        ------
        ValueError
            The numbers contradict each other.
        HpcmlError
            This Cluster has submitted no job.

        Examples
        --------
        With a Cluster that was opened with ``nodes=1``: ``cluster.adapt(minimum=1, maximum=8)``.
        """
        self._sized().follow_work(minimum, maximum)

    def _sized(self) -> Any:
        fleet = self._session.fleet
        if fleet is None or not self._session.running:
            raise HpcmlError(
                "this Cluster has the workers that it was opened with: only one that asks Slurm for its nodes, "
                "Cluster(nodes=…) outside of a job, can have more or fewer"
            )
        return fleet.size

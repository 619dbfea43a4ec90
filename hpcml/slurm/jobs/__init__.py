"""Jobs of this user: job files, their submission, and the queue that all who look share.

::

    options, site ──> script ──> submission ──> sbatch       partitions: which request no node can fill
    states, reasons <── queue <── squeue, once a minute

`submission` and `queue` run Slurm's commands; all others are pure.
"""

__all__: list[str] = []

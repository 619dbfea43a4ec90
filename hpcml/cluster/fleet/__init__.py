"""Fleet of jobs: a Cluster that asks Slurm for its nodes, from a login node or a notebook.

::

    choice ──> request                 nodes= : a part of the allocation, or jobs
    fleet ── sbatch ──> holder         the program of each job: reports the job, ends with the driver
    heartbeat                          the program beside the driver: sign of life, and scancel when it has gone
    fleet ──> upkeep ──> job           a thread for each job starts the engine there, from the driver's computer
    workers, staging                   the engines of all jobs as one

`adapt` decides how many nodes there should be.
"""

__all__: list[str] = []

"""Jobs from Python: `hpcml.submit`, `hpcml.map_array`, and `hpcml.Job`.

::

    driver   submission, array ──> requests, scheduler ──> slurm/jobs: sbatch; local: processes without Slurm
                  │ packing
                  ▼
             folder  .hpcml/jobs/<job>/: call or calls, claims, outcomes   <── watcher ── job, array_results
                  ▲                                                         └── slurm/jobs: squeue, once a minute
    job      program ──> one_call, or element ──> claims

A job and its driver share the folder and nothing else, so either may end and start again without the other.
"""

__all__: list[str] = []

"""Engine ``scoop``: unmodified SCOOP scripts in a Slurm allocation or on this computer, without ssh.

::

    hpcml run --engine scoop script.py
      ├── main thread      the script, as SCOOP's origin: sends all tasks and executes none
      ├── hpcml-broker     SCOOP's broker
      └── hpcml-scoop      reads the step's messages <── srun ── one `node` program per node ── its workers, forked

SCOOP's own sockets send the tasks, all of them encrypted (`curve`). The standard streams of the step carry orders,
deaths and prints. `patches` lists the changes to SCOOP 0.7.2.0, which is no longer maintained.
"""

__all__: list[str] = []

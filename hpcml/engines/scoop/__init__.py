"""Engine ``scoop``: unmodified SCOOP scripts in a Slurm allocation or on this computer, without ssh.

::

    hpcml run --engine scoop script.py
      ├── main thread      the script, as SCOOP's origin: it hands out all tasks and executes none
      ├── hpcml-broker     SCOOP's broker
      └── hpcml-scoop      listens to the step <── srun ── one `node` program per node ── its workers, forked

Tasks are sent by SCOOP's own sockets, all of them encrypted (`curve`); orders, deaths and prints by the standard
streams of the step. See `patches` for what is changed in SCOOP 0.7.2.0, which nobody maintains.
"""

__all__: list[str] = []

"""Programs written for ipyparallel, in `hpcml run`: their clients, clusters and joblib backend are the Cluster's.

::

    hpcml run script.py ── serve() ──> importing.py: the script, or a module of it, imports ipyparallel
                                           │
    Client(), Client(profile="job")        ├──> clients.py   a client of the open Cluster's controller
    Cluster(n=4), Cluster.from_file()      ├──> launchers.py  launchers that start and end nothing
    IPythonParallelBackend(view=...)       └──> backend.py   joblib's calls on the Cluster, as by backend "hpcml"

All else is ipyparallel's own: views, executors, magics, results. What names another controller or launcher
(``Client("file.json")``, ``Cluster(engines="mpi")``) is as without `hpcml run`.

- **A client ends nothing of the Cluster's**: engines and controller answer ``Client.shutdown``, and go on.
- **The functions of joblib's calls** are sent by `hpcml.data`, so those of the script need no cloudpickle.
"""

__all__: list[str] = []

"""Programs written for SCOOP, on the Cluster that is open: modules for ``from scoop import futures, shared``.

::

    hpcml run script.py ── serving() ── puts the folder on_path on sys.path, which is sent with every task
                                             │
    script, its modules, tasks ── import scoop ──> on_path/scoop.py ──> futures, shared, future (as scoop._types)
                                                                            │
              in the driver: the innermost open Cluster  <──────────────────┴──> in a task: the worker itself

Neither SCOOP's code nor its transport is used, and SCOOP need not be installed. Functions, their order and their
results are those of SCOOP 0.7.2.0. Where SCOOP's documentation promises more than its code does (timeouts), the
documentation is followed.

- **In a task**, ``submit`` runs its call at once, in the same worker, and ``map`` when its results are taken:
  nesting works at any depth, and uses no other slot. The driver's ``map`` should have at least as many items as
  there are slots.
- **Constants** are sent with the tasks that are submitted after ``setConst``; a task cannot set any.
- **The script is not run again in the workers**, as SCOOP does: functions are sent with the globals that they use.
- **A module scoop.py beside the script**, or a package, comes first.
"""

__all__: list[str] = []

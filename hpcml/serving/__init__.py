"""Scoring of items that arrive in a stream, in micro-batches on a Cluster.

::

    source ──read──> reader thread ──┐                      ┌── Cluster.submit(score_items) ──> workers
    signals ──stop───────────────────┤──> inbox ──> server ─┤
    model store ──> follower thread ─┤   (queue)   (main    └── source.write(results) ──> readers of results
    dispatcher ──done────────────────┘             thread)

Only the main thread changes the waiting items and the batches in flight. An item leaves its source when its result
is written, and not before: whatever ends meanwhile, the item is scored again.
"""

__all__: list[str] = []

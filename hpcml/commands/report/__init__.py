"""``hpcml report``: what the journal of a run tells, as text, data and pictures.

::

    journal ──> reading ──> model.Report ──> text, html (with pictures), data
                                 └──> sums, advice, grid: what these three show

All but `command` are pure functions.
"""

__all__: list[str] = []

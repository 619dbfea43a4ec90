"""``hpcml report``: the journal of a run as text, data and pictures.

::

    journal ──> from_journal ──> model.Report ──> text, html (with svg), plain data
                                     └──> totals, advice, timeline: numbers that all three show

All but `command` are pure functions.
"""

__all__: list[str] = []

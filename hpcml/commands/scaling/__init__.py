"""``hpcml scaling``: runs a script on several numbers of slots, and says how its time depends on them.

::

    command ──> measuring, jobs ──> one `hpcml run` for each number of slots and repeat, here or in jobs
       │            a Measured each     its times, quality and cost; a line of measured.jsonl
       ├──> study   medians, speed-up, efficiency, Karp-Flatt; Amdahl's law and the USL (fits)
       └──> text, picture    table, CSV, Markdown; three panels
"""

__all__: list[str] = []

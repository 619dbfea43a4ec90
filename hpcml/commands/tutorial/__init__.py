"""``hpcml tutorial``: lists exercises and broken jobs, copies, runs and grades one, and grades a class.

::

    exercises ──> the folders of tutorials/, in the repository or as installed
    command   ──> running: the student's program, or the job file of a broken job, in a process of its own
       ├──> results    results/NN.json, read without trust: nothing of a student's is imported or unpickled
       ├──> graders/   a module for each exercise: the fields of its results, and its checks; broken/
       └──> text       each check with what was expected, what was found, and a hint; a table of a class
"""

__all__: list[str] = []

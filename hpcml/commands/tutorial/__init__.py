"""``hpcml tutorial``: lists exercises, copies one, runs and grades it, and grades those of a class.

::

    exercises ──> the folders of tutorials/, in the repository or as installed
    command   ──> run: the student's program, in a process of its own
       ├──> results    results/NN.json, read without trust: nothing of a student's is imported or unpickled
       ├──> graders/   a module for each exercise: the fields of its results, and its checks
       └──> text       each check with what was expected, what was found, and a hint; a table of a class
"""

__all__: list[str] = []

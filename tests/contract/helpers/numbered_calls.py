"""Calls with a number, each of which leaves a line in a file."""

import collections

MANY = 2000


def note(number, path):
    """One line for each execution, whatever happens to the process afterwards."""
    with open(path, "a") as file:
        file.write(f"{number}\n")


def executions(path):
    return collections.Counter(map(int, path.read_text().split()))

"""Calls with a number, each of which leaves a line in a file."""

import collections

MANY = 2000


def note(number, path):
    """Write a line for an execution; the line stays whatever happens to the process."""
    with open(path, "a") as file:
        file.write(f"{number}\n")


def executions(path):
    return collections.Counter(map(int, path.read_text().split()))

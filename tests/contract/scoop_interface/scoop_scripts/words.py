"""Helper module beside the script, which imports scoop itself; workers import the module by its name."""

import scoop
from scoop import futures, shared
from scoop.futures import submit


def value(word):
    letters = shared.getConst("letters")
    return sum(letters[letter] for letter in word)


def values(words):
    """Run a task whose tasks have tasks."""
    return submit(sum, list(futures.map(value, words))).result(), scoop.IS_ORIGIN, scoop.__file__

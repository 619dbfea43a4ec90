"""Keys of calls, for the tests of keys."""

from hpcml.cluster.calls import Calls
from hpcml.data.call_data import CallData
from hpcml.journal.call_keys import CallKeys


def key(thing):
    return CallKeys().digest(thing)


class Node:
    """Node of a graph of mutable objects."""

    def __init__(self, value=0):
        self.value = value
        self.near = []


class JournalStub:
    """Stands for a run's journal: collects the digests of calls."""

    reusable = 0

    def __init__(self):
        self.digests = []
        self.key_seconds = {}

    def number_keys(self, digests):
        self.digests += digests
        return digests

    def recorded_outcome(self, _):
        return None

    def note_classes(self, classes):
        pass


def call_keys(*calls, **settings):
    run_journal = JournalStub()
    made = Calls(CallData(None, None), run_journal, at_once=False)
    for function, args, kwargs in calls:
        made.make(function, args, kwargs, "group", **settings)
    return run_journal.digests

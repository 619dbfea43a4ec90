"""The open Clusters of a process, and the session that Clusters join."""

import threading

import pytest

from hpcml.cluster import current
from hpcml.cluster.current import (
    current_cluster,
    forget_clusters,
    note_closed,
    note_opened,
    set_shared_session,
    shared_session,
)
from hpcml.cluster.options import Options
from hpcml.errors import HpcmlError


@pytest.fixture(autouse=True)
def no_clusters_yet(monkeypatch):
    monkeypatch.setattr(current, "_open", [])
    monkeypatch.setattr(current, "_shared", None)


class Session:
    def __init__(self, matches):
        self.matches = lambda options: matches


def test_the_cluster_that_was_opened_last_is_the_current_one():
    outer, inner = object(), object()
    note_opened(outer)
    note_opened(inner)
    assert current_cluster() is inner
    note_closed(outer)
    assert current_cluster() is inner
    note_closed(inner)
    note_closed(inner)  # harmless
    with pytest.raises(HpcmlError, match=r"^a Cluster was asked for, but no Cluster is open\. Write"):
        current_cluster()


def test_the_error_begins_with_who_asked():
    with pytest.raises(
        HpcmlError, match=r"^joblib wants one, but no Cluster is open[\s\S]*`hpcml run script\.py`"
    ):
        current_cluster("joblib wants one")


def test_a_forked_child_has_none():
    note_opened(object())
    forget_clusters()
    with pytest.raises(HpcmlError):
        current_cluster()


def test_clusters_that_are_equal_are_not_the_same():
    class Equal:
        def __eq__(self, other):
            return True

        __hash__ = None

    first, second = Equal(), Equal()
    note_opened(first)
    note_opened(second)
    note_closed(first)
    assert current_cluster() is second


def test_threads_may_open_clusters_at_once():
    clusters = [object() for _ in range(50)]
    threads = [threading.Thread(target=note_opened, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for cluster in clusters:
        note_closed(cluster)
    with pytest.raises(HpcmlError):
        current_cluster()


def test_a_session_is_shared_where_it_has_what_is_asked_for():
    assert shared_session(Options()) is None
    session = Session(matches=True)
    set_shared_session(session)
    assert shared_session(Options()) is session
    set_shared_session(Session(matches=False))
    assert shared_session(Options()) is None

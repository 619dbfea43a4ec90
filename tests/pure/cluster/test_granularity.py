"""The warning about calls that are too short to be worth sending."""

import pytest

from hpcml.cluster.map import granularity
from hpcml.cluster.map.granularity import Spent, advice, note_map


@pytest.fixture(autouse=True)
def no_maps_yet(monkeypatch):
    monkeypatch.setattr(granularity, "_spent", {})


def test_short_calls_are_warned_of_once_and_only_after_a_while(caplog):
    note_map("script.evaluate", calls=1000, seconds=1e-6, wall=0.6, slots=2)
    assert not caplog.records
    note_map("script.evaluate", calls=1000, seconds=1e-6, wall=0.6, slots=2)
    note_map("script.evaluate", calls=1000, seconds=1e-6, wall=0.6, slots=2)
    (record,) = caplog.records
    assert "2000 calls of script.evaluate took 1.2 s on 2 slots" in record.getMessage()
    assert record.getMessage().endswith("Let each call do more, or use Python's own map")


def test_each_function_has_a_warning_of_its_own(caplog):
    for name in ("script.one", "script.two"):
        note_map(name, calls=1000, seconds=1e-6, wall=2.0, slots=2)
    assert len(caplog.records) == 2


def test_calls_that_gain_are_not_warned_of(caplog):
    note_map("script.evaluate", calls=100, seconds=0.1, wall=5.1, slots=2)
    assert not caplog.records


def test_one_call_is_no_reason_for_advice():
    assert advice("script.evaluate", Spent(calls=1, work=0.1, wall=2.0, slots=2)) is None


def test_on_one_slot_there_is_no_length_from_which_calls_gain():
    words = advice("script.evaluate", Spent(calls=10, work=0.1, wall=2.0, slots=1))
    assert "it gains" not in words
    assert "one takes 10.0 ms, and sending it 190.0 ms" in words

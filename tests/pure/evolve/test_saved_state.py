"""Content of checkpoints: individuals in several places stay one, and another subject is refused."""

from pathlib import Path

import pytest
from deap import base, creator

from hpcml.errors import HpcmlError
from hpcml.evolve import EaSimple
from hpcml.evolve.saved_state import pack_state, unpack_state

PATH = Path("checkpoint")


def plain(x):
    return x


def make_again(weight):
    """Make the classes anew, as another run of the script does."""
    del creator.PureMost, creator.PureRow
    creator.create("PureMost", base.Fitness, weights=(weight,))
    creator.create("PureRow", list, fitness=creator.PureMost)


def test_an_individual_in_two_places_is_one(rows):
    (one,) = rows(3)
    found = unpack_state(pack_state("about", {"population": [one], "best": one}), "about", PATH)
    assert found["best"] is found["population"][0]
    assert (type(found["best"]), found["best"].fitness.values) == (type(one), (3.0,))


def test_functions_go_by_name_or_by_value():
    found = unpack_state(pack_state("about", {"named": plain, "unnamed": lambda x: x + 1}), "about", PATH)
    assert found["named"] is plain
    assert found["unnamed"](1) == 2


def test_an_object_that_cannot_be_pickled_by_name():
    class Local:
        pass

    found = unpack_state(pack_state("about", {"thing": Local()}), "about", PATH)
    assert type(found["thing"]).__name__ == "Local"


def test_another_subject_is_refused():
    packed = pack_state(EaSimple(0.5, 0.2), {})
    assert unpack_state(packed, EaSimple(0.5, 0.2), PATH)["about"] == EaSimple(0.5, 0.2)
    with pytest.raises(
        HpcmlError, match=r"checkpoint is the checkpoint of EaSimple\(cxpb=0.5, mutpb=0.2\), and this"
    ):
        unpack_state(packed, EaSimple(0.5, 0.3), PATH)


def test_other_versions_are_warned_of(monkeypatch, caplog):
    packed = pack_state("about", {})
    monkeypatch.setattr("hpcml.evolve.saved_state.version", lambda name: "0.1")
    unpack_state(packed, "about", PATH)
    assert "checkpoint was written with {'python': " in caplog.text


def test_a_class_that_is_made_otherwise_now_is_refused(rows):
    packed = pack_state("about", {"population": rows(1)})
    make_again(-1.0)
    with pytest.raises(HpcmlError, match=r"checkpoint: creator.PureMost is not what it was .*weights=\(1.0,\)"):
        unpack_state(packed, "about", PATH)


def test_a_class_that_is_made_in_the_same_way_is_the_scripts(rows):
    packed = pack_state("about", {"population": rows(1)})
    make_again(1.0)
    (one,) = unpack_state(packed, "about", PATH)["population"]
    assert type(one) is creator.PureRow


def test_a_function_that_is_gone_is_named(monkeypatch):
    packed = pack_state("about", {"function": plain})
    monkeypatch.delitem(globals(), "plain")
    with pytest.raises(HpcmlError, match="cannot be read in this program: .*plain.* Define that as it was"):
        unpack_state(packed, "about", PATH)

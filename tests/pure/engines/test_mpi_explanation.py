"""Explanations of steps whose ranks do not find each other, from texts that libraries have printed under srun."""

import pytest

from hpcml.engines.nodes.mpi_explanation import explain
from hpcml.engines.nodes.mpi_plugin import Library

OPEN_MPI_4_BY_PMI2 = """    0: --------------------------------------------------------------------------
    0: The application appears to have been direct launched using "srun",
    0: but OMPI was not built with SLURM's PMI support and therefore cannot
    0: execute. There are several options for building PMI support under
    0: *** An error occurred in MPI_Init_thread
    srun: error: n2: task 1: Exited with exit code 1
"""
MPICH_5_BY_PMIX = """    1: MPIR_pmi_init(225)..............:
    1: check_MPIR_CVAR_PMI_VERSION(167):  Runtime environment uses unsupported PMI version PMIx. Aborting.
    srun: error: n1: task 0: Exited with exit code 16
"""


def test_open_mpi_without_support_for_the_plugin():
    assert explain(OPEN_MPI_4_BY_PMI2, Library("Open MPI", (4, 1, 4)), "pmi2", "pmi2") == (
        "Open MPI 4.1.4 does not work by srun --mpi=pmi2 (it was built without support for this plugin): "
        "unset SLURM_MPI_TYPE, or set SLURM_MPI_TYPE=pmix"
    )


def test_mpich_by_a_pmi_that_it_does_not_speak():
    assert explain(MPICH_5_BY_PMIX, Library("MPICH", (5, 0, 2)), "pmix", "pmix") == (
        "MPICH 5.0.2 does not work by srun --mpi=pmix (its ranks were offered PMIx, which this library does not "
        "speak): unset SLURM_MPI_TYPE, or set SLURM_MPI_TYPE=pmi2"
    )


@pytest.mark.parametrize(("library", "other"), [("Open MPI", "mpich"), ("MPICH", "openmpi")])
def test_a_plugin_that_should_fit_and_does_not(library, other):
    text = explain(f"{library} has started 1 of 3 ranks together", Library(library, (5, 0, 2)), "pmix")
    assert text.startswith(
        f"{library} 5.0.2 does not work by srun --mpi=pmix (1 of 3 ranks were started together): "
    )
    for advice in ("SLURM_MPI_TYPE", "srun --mpi=list", f"pip install mpi4py {other}", "engine='ipyparallel'"):
        assert advice in text


def test_a_log_with_another_reason_is_not_explained():
    assert explain("    0: ModuleNotFoundError: No module named 'numpy'", Library("MPICH"), "pmi2") == ""

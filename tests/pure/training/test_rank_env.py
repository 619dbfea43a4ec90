"""Variables of rank_env in processes of their own: those of torchrun, of one rank, and of 200 starts at once."""

import ast
import os
import subprocess
import sys

import pytest
from patience import patient

STARTS = 200
TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1",
    "MASTER_ADDR": "192.0.2.7",
    "MASTER_PORT": "29400",
    "TORCHELASTIC_RUN_ID": "mine",
}
NETWORK = {"GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME", "JAX_COORDINATOR_ADDRESS"}
NAMES = {*TORCHRUN, *NETWORK, "OMP_NUM_THREADS"}
LAUNCHERS = ("SLURM", "OMPI_", "PMI", "OMP_", "GLOO_", "NCCL_", "TP_", "JAX_")
PRINTED = "from hpcml.training import rank_env; print(rank_env())"


def execute(code, env=(), cwd=None):
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=patient(60),
    )


def variables(env=(), cwd=None):
    """Return what rank_env returns with these variables."""
    done = execute(PRINTED, env, cwd)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout)


def test_a_process_alone_is_a_world_of_one_that_leaves_no_file(tmp_path):
    found = variables(cwd=tmp_path)
    assert set(found) == NAMES
    assert [found[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")] == ["0", "1", "1"]
    assert (found["MASTER_ADDR"], found["GLOO_SOCKET_IFNAME"]) == ("127.0.0.1", "lo")
    cpus = subprocess.run(["nproc"], env={}, capture_output=True, text=True, check=True).stdout
    assert found["OMP_NUM_THREADS"] == cpus.strip()
    assert list(tmp_path.iterdir()) == []


def test_variables_of_torchrun_stay_also_in_a_step_of_slurm():
    step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "9", "SLURM_PROCID": "0"}
    found = variables(TORCHRUN | step | {"OMP_NUM_THREADS": "1"})
    assert {name: found[name] for name in TORCHRUN} == TORCHRUN
    assert "OMP_NUM_THREADS" not in found


def test_variables_that_a_recipe_leaves_out_are_added():
    four = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29400"}
    found = variables(four)
    assert {name: found[name] for name in four} == four
    assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"], found["GROUP_RANK"]) == ("1", "2", "0")
    assert set(found) == NAMES


def test_variables_that_the_user_has_set_are_not_returned():
    mine = {"GLOO_SOCKET_IFNAME": "ib0", "NCCL_SOCKET_IFNAME": "ib", "OMP_NUM_THREADS": "3"}
    assert set(mine) & set(variables(mine)) == set()


def test_a_batch_script_without_srun_ends_with_the_command_to_type():
    batch = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n1", "SLURM_TASKS_PER_NODE": "4", "SLURM_NTASKS": "4"}
    done = execute(PRINTED, batch | {"SLURMD_NODENAME": "n1"})
    assert done.returncode == 1
    assert "job 7 has 4 tasks" in done.stderr
    assert f"srun {sys.executable} -c" in done.stderr


def test_import_needs_neither_torch_nor_mpi4py():
    code = "import sys, hpcml.training; print([name for name in ('torch', 'mpi4py') if name in sys.modules])"
    assert execute(code).stdout == "[]\n"


MANY = f"""
import os, socket
from hpcml.training import rank_env

def one(ready, go):
    # The port of a start, and whether a listener could take it while all others are held.
    found = rank_env()
    os.write(ready, b"!")
    os.read(go, 1)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("", int(found["MASTER_PORT"])))
    listener.listen()
    os.write(ports, found["MASTER_PORT"].encode() + b"\\n")
    os.read(end, 1)

ready, go, end = os.pipe(), os.pipe(), os.pipe()
read, ports = os.pipe()
go_r, end_r = go[0], end[0]
children = []
for number in range({STARTS}):
    child = os.fork()
    if not child:
        code = 1
        try:
            os.close(go[1]); os.close(end[1])
            end = end_r
            one(ready[1], go_r)
            code = 0
        finally:
            os._exit(code)
    children.append(child)
for number in range({STARTS}):
    os.read(ready[0], 1)
os.close(go[1])
os.close(ports)
found = []
with open(read) as lines:
    for number in range({STARTS}):
        found.append(int(lines.readline()))
os.close(end[1])
print(len(set(found)), sum(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.timeout(patient(120))
def test_200_starts_at_once_have_200_ports_that_their_listeners_get():
    done = execute(MANY)
    assert done.stdout == f"{STARTS} 0\n", done.stderr[-2000:]

"""Commands to Slurm, compared whole, and the environment of each."""

from hypothesis import given
from hypothesis import strategies as st

from hpcml.slurm.commands import controller_step, driver_step, end_time_query, step_environment, worker_step
from hpcml.slurm.configuration import configured

COMMON = [
    "--overlap",
    "--mem=0",
    "--cpu-bind=none",
]
REST = [
    "--kill-on-bad-exit=0",
    "--wait=0",
    "--no-kill",
    "--mpi=none",
    "--export=ALL",
    "--quit-on-interrupt",
]


def test_the_command_of_a_worker_step():
    assert worker_step(["n1", "n2"], ["python", "-m", "x y"]) == [
        "srun",
        "--job-name=hpcml-workers",
        *COMMON,
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--nodelist=n1,n2",
        *REST,
        "--label",
        "python",
        "-m",
        "x y",
    ]


def test_a_worker_step_may_end_as_one():
    alone, together = (worker_step(["n1", "n2"], ["x"], together=flag) for flag in (False, True))
    assert [word for word in alone if word not in together] == ["--kill-on-bad-exit=0", "--no-kill"]
    assert [word for word in together if word not in alone] == ["--kill-on-bad-exit=1"]


def test_a_worker_step_of_a_heterogeneous_job_names_its_group():
    assert worker_step(["n1"], ["x"], het_group=1)[:3] == ["srun", "--het-group=1", "--job-name=hpcml-workers"]


def test_controller_step_takes_no_gpu():
    assert controller_step("n1", ["x"]) == [
        "srun",
        "--job-name=hpcml-controller",
        *COMMON,
        "--nodes=1",
        "--ntasks=1",
        "--ntasks-per-node=1",
        "--nodelist=n1",
        *REST,
        "--gres=none",
        "x",
    ]


# The input variables of srun(1) that sbatch, salloc or an outer srun leave behind (22.05 and 24.11).
INHERITED = [
    "NTASKS", "NPROCS", "NTASKS_PER_NODE", "NTASKS_PER_CORE", "NTASKS_PER_SOCKET", "NTASKS_PER_GPU",
    "CPUS_PER_TASK", "CPUS_PER_GPU", "TRES_PER_TASK", "MEM_PER_NODE", "MEM_PER_CPU", "MEM_PER_GPU", "GPUS",
    "GPUS_PER_NODE", "GPUS_PER_TASK", "GPU_BIND", "GRES", "CPU_BIND", "CPU_BIND_TYPE", "CPU_BIND_LIST",
    "MEM_BIND", "DISTRIBUTION", "HINT", "THREADS_PER_CORE", "EXCLUSIVE", "EXACT", "OVERLAP", "EXPORT_ENV",
    "NNODES", "STEP_ID", "STEP_NODELIST", "STEP_NUM_TASKS", "TRES_BIND", "KILL_BAD_EXIT", "WAIT", "LABELIO",
    "UNBUFFEREDIO", "PROCID", "LOCALID", "NODEID", "STEP_GPUS", "HET_GROUP_ID", "JOB_END_TIME",
    "TASKS_PER_NODE", "EXIT_IMMEDIATE",
]  # fmt: skip


def test_no_input_of_srun_is_inherited():
    env = {f"SLURM_{name}": "1" for name in INHERITED} | {
        "SRUN_CPUS_PER_TASK": "2",
        "SRUN_OUTPUT": "x",
        "PMI_RANK": "0",
    }
    assert step_environment(env) == {"SLURM_EXIT_ERROR": "113"}


def test_variables_that_identify_the_job_are_kept():
    env = {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_STEPMGR": "n1",
    }
    env |= {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2"}
    env |= {"SLURM_HET_SIZE": "2", "SLURM_JOB_ID_HET_GROUP_1": "8", "PATH": "/bin", "OMP_PROC_BIND": "true"}
    assert step_environment(env) == {**env, "SLURM_EXIT_ERROR": "113"}


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_the_users_own_variables_are_kept(env):
    kept = {name: value for name, value in env.items() if not name.startswith(("SLURM_", "SRUN_", "SBATCH_"))}
    result = step_environment(env)
    assert all(result[name] == value for name, value in kept.items() if not name.startswith(("PMI", "SALLOC_")))


def test_end_time_query():
    assert end_time_query("7_1") == ["squeue", "--noheader", "--jobs=7_1", "--format=%i|%A|%e"]


def test_the_step_of_a_contained_script_ends_in_order_and_has_the_options_of_its_container():
    command = driver_step("n1", ["python"], options=["--container-image=x"])
    assert command == ["srun", "--job-name=hpcml-driver", *COMMON, *(
        "--nodes=1", "--ntasks=1", "--ntasks-per-node=1", "--nodelist=n1"
    ), *REST[:-1], "--container-image=x", "python"]  # fmt: skip


def test_a_parameter_of_the_configuration_is_the_one_of_this_name():
    text = "Configuration data as of 2026-11-30\nMpiDefault        = none\nMpiParams         = (null)\n"
    found = [configured(text, name) for name in ("MpiDefault", "Mpi", "MpiParams", "Default")]
    assert found == ["none", "", "", ""]

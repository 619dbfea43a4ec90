"""Checks of `hpcml doctor`: each fault in the facts is found and named, and healthy facts have none."""

from dataclasses import replace

import pytest
from examined import NODES, VERSIONS, computer, job, laptop, node_facts

from hpcml.commands.doctor.examination import judge
from hpcml.commands.doctor.facts import Computer, Place, SlurmFacts, StepFacts
from hpcml.commands.doctor.finding import Severity
from hpcml.slurm.nodes import Node


def on_n2(**changes):
    """Return a job whose second node differs; `changes` are of its `Computer`."""
    return job(n2=node_facts("n2", computer=computer("n2", **changes)))


def of_n2(**changes):
    """Return a job whose second node differs; `changes` are of its `NodeFacts`."""
    return job(n2=node_facts("n2", **changes))


def slurm(**changes):
    return job(slurm=replace(job().slurm, **changes))


def variables(**values):
    return job(environment=values)


CUT_OFF = {"10.32.1.1": "timed out"}
SILENT = {"start_seconds": None, "computer": None, "described": False, "files": None}
FAULTS = {
    "a node that does not start": (
        of_n2(**SILENT),
        Severity.WILL_FAIL,
        "start of a step",
        "n2: no program of the step",
    ),
    "a node that Slurm cannot start": (
        of_n2(**SILENT, log="execve(): python: No such file"),
        Severity.WILL_FAIL,
        "start of a step",
        "n2: execve(): python",
    ),
    "a slow start": (of_n2(start_seconds=30.4), Severity.SLOW, "start of a step", "n2: 30 s"),
    "a step that is refused": (
        job(step=StepFacts(60, True, "srun: error: Invalid job id specified")),
        Severity.WILL_FAIL,
        "start of a step",
        "Invalid job id",
    ),
    "a home that hangs": (
        of_n2(computer=None, described=False, stages={"facts": "write to /home/me"}),
        Severity.WILL_FAIL,
        "answer of a node",
        "n2: the probe began to write to /home/me, and has not ended",
    ),
    "a library for another processor": (
        of_n2(described=False, stages={"facts": "import numpy"}, log="task 1: Illegal instruction"),
        Severity.WILL_FAIL,
        "answer of a node",
        "n2: the probe began to import numpy, and died: Illegal instruction",
    ),
    "a library that cannot be imported": (
        of_n2(imports={"zmq": "ImportError: libzmq.so.5"}),
        Severity.WILL_FAIL,
        "imports",
        "n2: import zmq: ImportError",
    ),
    "slow imports": (of_n2(imports={"numpy": 48.0}), Severity.SLOW, "imports", "n2: import numpy took about 50 s"),
    "a node without a way to the controller": (
        of_n2(controller_reached={"127.0.0.1": "somebody else answers"} | CUT_OFF),
        Severity.WILL_FAIL,
        "addresses",
        "n2: 127.0.0.1 somebody else answers, 10.32.1.1 timed out",
    ),
    "a driver without a way to the controller": (
        job(n1=node_facts("n1", reached_back=CUT_OFF)),
        Severity.WILL_FAIL,
        "addresses",
        "this host, login: 10.32.1.1 timed",
    ),
    "a node that cannot reach the driver": (
        of_n2(driver_reached={"10.32.0.1": "timed out"}),
        Severity.SLOW,
        "to this host and back",
        "n2: to this host: 10.32.0",
    ),
    "a loopback name": (
        on_n2(addresses=("127.0.1.1",)),
        Severity.SLOW,
        "host names",
        "resolves to 127.0.1.1, the loopback",
    ),
    "no name": (
        on_n2(addresses=(), name_error="Unknown"),
        Severity.SLOW,
        "host names",
        "n2: the host's own name does not res",
    ),
    "another name": (
        job(n2=node_facts("n2", computer=replace(computer("n2"), name="other"))),
        Severity.SLOW,
        "host names",
        "n2: the host's name other is not Slurm's NodeName",
    ),
    "a clock ahead": (of_n2(clock=(89.8, 90.0)), Severity.SLOW, "clocks", "n2: 90 s ahead"),
    "a clock behind": (of_n2(clock=(-61.0, -60.2)), Severity.SLOW, "clocks", "n2: 60 s behind"),
    "a narrow mask": (on_n2(cpus=1), Severity.SLOW, "CPUs", "n2: 1 CPU for 2 of the job (the mask, of 2 there)"),
    "a quota": (on_n2(quota=0.5), Severity.SLOW, "CPUs", "n2: 0.5 CPUs for 2 of the job (the cgroup's quota)"),
    "little memory": (
        on_n2(memory_limit=10**8),
        Severity.SLOW,
        "memory",
        "n2: 100 MB for 2 workers, which take 220 MB",
    ),
    "no GPU": (
        job((replace(NODES[0], gpus=2), *NODES[1:])),
        Severity.SLOW,
        "GPUs",
        "n1: CUDA_VISIBLE_DEVICES= for 2 GPUs",
    ),
    "no shared memory": (
        on_n2(places={"shared memory": Place("/dev/shm", error="No such file")}),
        Severity.WILL_FAIL,
        "shared memory",
        "n2: /dev/shm: No such file",
    ),
    "a small shared memory": (
        on_n2(places={"shared memory": Place("/dev/shm", "tmpfs", 64 * 10**6, 3 * 10**6)}),
        Severity.SLOW,
        "shared memory",
        "n2: 3 MB free of 64 MB in /dev/shm",
    ),
    "few files": (
        on_n2(limits={"NOFILE": (64, 64)}),
        Severity.WILL_FAIL,
        "open files",
        "n2: RLIMIT_NOFILE is 64; 2 slots",
    ),
    "few processes": (
        on_n2(limits={"NPROC": (40, 40)}),
        Severity.WILL_FAIL,
        "processes",
        "n2: RLIMIT_NPROC is 40",
    ),
    "a limit on CPU time": (
        on_n2(limits={"CPU": (1800, 1800)}),
        Severity.SLOW,
        "other limits",
        "n2: killed after 1800 s",
    ),
    "another library": (
        on_n2(versions=VERSIONS | {"joblib": "1.2.0"}),
        Severity.WILL_FAIL,
        "versions",
        "n2: joblib 1.2.0 (here 1.6.0)",
    ),
    "another numpy": (
        on_n2(versions=VERSIONS | {"numpy": "1.26"}),
        Severity.SLOW,
        "versions",
        "n2: numpy 1.26 (here 2.4.6)",
    ),
    "another Python": (on_n2(python="3.12.1"), Severity.WILL_FAIL, "versions", "n2: Python 3.12.1 (here 3.11.7)"),
    "a copy": (
        on_n2(origins={"numpy": "/x/numpy.py"}),
        Severity.SLOW,
        "copies of libraries",
        "n2: numpy comes from /x/numpy",
    ),
    "no PYTHONPATH": (
        on_n2(missing={"PYTHONPATH": "/x"}),
        Severity.SLOW,
        "paths in variables",
        "n2: PYTHONPATH names /x, w",
    ),
    "an unshared directory": (
        of_n2(files={"directory": "does not exist", "trial": "No such file or directory"}),
        Severity.SLOW,
        "working directory",
        "n2: /home/me/project does not exist",
    ),
    "another directory of that name": (
        of_n2(files={"directory": "", "trial": "No such file or directory"}),
        Severity.SLOW,
        "working directory",
        "n2: /home/me/project is another directory there",
    ),
    "locks of one node": (
        of_n2(files={"directory": "", "trial": "shared", "lock": "free"}),
        Severity.SLOW,
        "file locks",
        "n2: got a lock that this host holds",
    ),
    "a read-only file system": (
        of_n2(files={"directory": "", "trial": "shared", "lock": "", "write": "Read-only file system"}),
        Severity.SLOW,
        "run directory",
        "n2: Read-only file system",
    ),
    "no run directory": (
        job(run_dir_error="cannot be made: no"),
        Severity.SLOW,
        "run directory",
        "cannot be made: no",
    ),
    "a run directory open to all": (
        job(run_dir_error="x has mode 0777"),
        Severity.WILL_FAIL,
        "run directory",
        "x has mode 0777",
    ),
    "a full quota": (
        on_n2(places={"home": Place("/home/me", error="Disk quota exceeded")}),
        Severity.SLOW,
        "home",
        "n2: /home/me: Disk quota exceeded",
    ),
    "no TMPDIR": (
        on_n2(places={"temporary directory": Place("/scratch/7", error="No such file")}),
        Severity.SLOW,
        "temporary directory",
        "n2: /scratch/7: No such file",
    ),
    "little time": (slurm(seconds_left=100), Severity.SLOW, "time left", "0:01:40 until the time limit of job 7"),
    "no time": (slurm(seconds_left=10), Severity.WILL_FAIL, "time left", "0:00:10 until the time limit of job 7"),
    "no slurmctld": (
        slurm(answers="`scontrol ping` did not end within 10 s"),
        Severity.WILL_FAIL,
        "Slurm",
        "did not end",
    ),
    "worlds of one": (
        slurm(mpi_vendor="Open MPI 4.1.4"),
        Severity.SLOW,
        "MPI",
        "Slurm's plugins: none, pmix; MpiDefault=none",
    ),
    "no plugin": (slurm(mpi_vendor="MPICH 5.0.2"), Severity.SLOW, "MPI", "mpi4py uses MPICH 5.0.2"),
    "a broken mpi4py": (
        slurm(mpi_vendor="cannot be imported: ImportError: libmpi.so.40"),
        Severity.SLOW,
        "MPI",
        "libmpi.so.40",
    ),
    "no exported variables": (
        variables(SLURM_EXPORT_ENV="NONE"),
        Severity.SLOW,
        "environment variables",
        "SLURM_EXPORT_ENV=N",
    ),
    "bound threads": (
        variables(OMP_PROC_BIND="true"),
        Severity.SLOW,
        "environment variables",
        "OMP_PROC_BIND=true",
    ),
    "an outer job's binding": (
        variables(SLURM_CPU_BIND="quiet"),
        Severity.SLOW,
        "environment variables",
        "SLURM_CPU_BIND=qui",
    ),
    "two numbers of CPUs": (
        variables(SLURM_CPUS_PER_TASK="4", SRUN_CPUS_PER_TASK="1"),
        Severity.SLOW,
        "environment variables",
        "SLURM_CPUS_PER_TASK=4, but SRUN_CPUS_PER_TASK=1",
    ),
    "a preload": (variables(LD_PRELOAD="/x.so"), Severity.SLOW, "environment variables", "LD_PRELOAD=/x.so"),
    "two environments": (
        variables(VIRTUAL_ENV="/v", CONDA_PREFIX="/c"),
        Severity.SLOW,
        "environment variables",
        "VIRTUAL_ENV=/v, CONDA",
    ),
    "programs of another environment": (
        job(environment={"VIRTUAL_ENV": "/v"}, prefix="/home/me/.venv"),
        Severity.SLOW,
        "environment variables",
        "VIRTUAL_ENV=/v, but this is Python of /home/me/.venv",
    ),
    "an old job": (
        laptop(problem="SLURM_JOB_NODELIST is missing"),
        Severity.WILL_FAIL,
        "allocation",
        "NODELIST is missing",
    ),
    "a host that hangs in a job": (
        job(driver=Computer("login"), hung_stage="write to /x"),
        Severity.WILL_FAIL,
        "answer of this host",
        "began to write to /x",
    ),
    "a host that hangs": (
        laptop(driver=Computer("laptop"), hung_stage="write to /x"),
        Severity.WILL_FAIL,
        "answer of this host",
        "began to write to /x",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_and_named_alone(name):
    facts, severity, check, seen = FAULTS[name]
    found = [finding for finding in judge(facts) if finding.severity != Severity.FINE]
    assert [(finding.severity, finding.check) for finding in found] == [(severity, check)]
    assert seen in "\n".join(found[0].seen)
    assert found[0].why
    assert found[0].type


def test_a_healthy_job_has_one_fine_line_for_each_subject():
    found = judge(job())
    assert {finding.severity for finding in found} == {Severity.FINE}
    assert len(found) >= 18
    assert len({finding.check for finding in found}) == len(found)


def test_a_computer_without_slurm_is_examined_for_what_concerns_it():
    found = {finding.check: finding for finding in judge(laptop())}
    assert {finding.severity for finding in found.values()} == {Severity.FINE}
    assert "there is none on this computer" in found["Slurm"].seen[0]
    assert found["CPUs"].seen == ("2 of 2 may be used",)
    assert not {"start of a step", "addresses", "clocks", "MPI", "host names"} & set(found)


def test_a_computer_with_slurms_commands_alone_belongs_to_no_cluster():
    facts = laptop(slurm=SlurmFacts("slurm 24.11", "scontrol: error: DNS SRV lookup failed"))
    (found,) = [finding for finding in judge(facts) if finding.severity != Severity.FINE]
    assert (found.severity, found.check) == (Severity.SLOW, "Slurm")
    assert "belongs to no cluster" in found.why


def test_equal_nodes_are_one_line_of_one_finding():
    names = [f"c{number:03}" for number in range(1, 501)]
    facts = job(tuple(Node(name, 2, cpus=2) for name in names))
    facts = replace(facts, controller="c001", seen={name: node_facts("n1") for name in names})
    for name in names[99:]:
        facts.seen[name].computer = computer("n1", cpus=1)
    (found,) = [finding for finding in judge(facts) if finding.severity != Severity.FINE]
    assert found.seen == ("c[100-500]: 1 CPU for 2 of the job (the mask, of 2 there)",)


def test_a_default_plugin_that_fits_is_fine():
    facts = slurm(mpi_vendor="Open MPI 5.0", config={"MpiDefault": "pmix_v4"})
    (found,) = [finding for finding in judge(facts) if finding.check == "MPI"]
    assert (found.severity, found.seen) == (Severity.FINE, ("Open MPI 5.0 by srun --mpi=pmix, the default",))


def test_memory_that_slurm_gives_by_default_is_that_of_the_job():
    nodes = tuple(replace(node, memory=None) for node in NODES)
    facts = job(nodes, slurm=replace(job().slurm, job={"MinMemoryCPU": "100M"}))
    (found,) = [finding for finding in judge(facts) if finding.severity != Severity.FINE]
    assert found.seen == ("n[1-3]: 200 MB for 2 workers, which take 220 MB without any data",)


@pytest.mark.parametrize(("propagated", "advice"), [("ALL", "--propagate=NONE"), ("NONE", "the administrators")])
def test_limits_are_raised_where_they_come_from(propagated, advice):
    facts = on_n2(limits={"CPU": (1800, 1800)})
    config = {"PropagateResourceLimits": propagated}
    (found,) = [one for one in judge(replace(facts, slurm=replace(facts.slurm, config=config))) if one.type]
    assert advice in found.type


def test_a_controller_that_hangs_does_not_make_others_suspicious():
    facts = job(n1=node_facts("n1", computer=None, described=False, stages={"facts": "write to /home/me"}))
    for node in facts.seen.values():
        node.controller_reached = None
    (found,) = [finding for finding in judge(facts) if finding.severity != Severity.FINE]
    assert (found.check, found.nodes) == ("answer of a node", ("n1",))


def test_a_mask_of_the_whole_node_is_fine_and_says_so():
    facts = on_n2(cpus=64, online=64)
    (found,) = [finding for finding in judge(facts) if finding.check == "CPUs"]
    assert found.severity == Severity.FINE
    assert "workers are not bound" in found.seen[0]

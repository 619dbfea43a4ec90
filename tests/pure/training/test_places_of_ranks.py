"""Place of a rank: variables of srun and mpirun, as those set them, and geometries of any shape."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcml.errors import AllocationError
from hpcml.training.ranks.mpirun import ranks_of_mpirun
from hpcml.training.ranks.place import Place, place_among, place_in_step, rank_threads

BATCH = {
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_TASKS_PER_NODE": "2(x2),1",
    "SLURM_JOB_CPUS_PER_NODE": "4(x3)",
    "SLURM_NTASKS": "5",
    "SLURMD_NODENAME": "n1",
}
# Of the third task of `srun --het-group=0,1` with one task on n1 and two on n2, as 24.11 sets them.
HET = {
    "SLURMD_NODENAME": "n2",
    "SLURM_CLUSTER_NAME": "hpcml",
    "SLURM_HET_SIZE": "2",
    "SLURM_JOB_ID": "116",
    "SLURM_JOB_ID_HET_GROUP_0": "116",
    "SLURM_JOB_ID_HET_GROUP_1": "117",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "n1",
    "SLURM_JOB_NODELIST_HET_GROUP_1": "n2",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "3",
    "SLURM_PROCID": "2",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "1,2",
    "SLURM_TASKS_PER_NODE": "1,2",
    "SLURM_TASKS_PER_NODE_HET_GROUP_0": "1",
    "SLURM_TASKS_PER_NODE_HET_GROUP_1": "2",
}


def in_step(counts, node, local, rank):
    """Return the variables of a task: its node, its number on the node, and its rank."""
    names = ",".join(f"n{number}" for number in range(len(counts)))
    tasks = ",".join(map(str, counts))
    of_job = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": names, "SLURM_TASKS_PER_NODE": tasks}
    of_step = {"SLURM_STEP_ID": "3", "SLURM_STEP_NODELIST": names, "SLURM_STEP_TASKS_PER_NODE": tasks}
    task = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(local), "SLURMD_NODENAME": f"n{node}"}
    return of_job | of_step | task | {"SLURM_STEP_NUM_TASKS": str(sum(counts))}


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 5), min_size=1, max_size=6), chance=st.randoms())
def test_each_task_of_a_step_has_its_place_in_any_distribution(counts, chance):
    tasks = [(node, local) for node, count in enumerate(counts) for local in range(count)]
    chance.shuffle(tasks)
    for rank, (node, local) in enumerate(tasks):
        found = place_in_step(in_step(counts, node, local, rank), {0})
        assert found.variables() == {
            "RANK": str(rank),
            "WORLD_SIZE": str(len(tasks)),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(counts[node]),
            "GROUP_RANK": str(node),
        }
        assert found.is_on_one_node == (len(counts) == 1)


def test_a_heterogeneous_step_is_one_world():
    found = place_in_step(HET, {0})
    assert (found.rank, found.size, found.local_rank, found.local_size) == (2, 3, 1, 2)
    assert found.variables()["GROUP_RANK"] == "1"
    assert found.key == "hpcml.116.0.0"


def test_a_step_counts_its_own_tasks_and_not_those_of_the_job():
    step = in_step([1, 1], 1, 0, 1) | {"SLURM_JOB_NODELIST": "n0,n1,n2", "SLURM_NTASKS": "8"}
    assert place_in_step(step, {0}).size == 2


def test_the_key_of_a_step_changes_with_a_requeue():
    keys = {place_in_step(in_step([2], 0, 0, 0) | {"SLURM_RESTART_COUNT": n}, {0}).key for n in ("0", "1")}
    assert keys == {"7.3.0", "7.3.1"}


@pytest.mark.parametrize("local", ["", "2", "one"])
def test_a_step_without_a_valid_local_rank_is_an_error(local):
    with pytest.raises(AllocationError, match=r"SLURM_LOCALID"):
        place_in_step(in_step([2], 0, local, 0), {0})


@pytest.mark.parametrize("shell", [BATCH, {k: v for k, v in BATCH.items() if k != "SLURMD_NODENAME"}])
def test_several_tasks_without_srun_are_an_error_that_says_what_to_type(shell):
    with pytest.raises(AllocationError, match=r"job 7 has 5 tasks(.|\n)*srun python train.py --lr 3"):
        place_in_step(shell, {0}, "python train.py --lr 3")


def test_a_batch_script_of_one_task_and_no_job_are_worlds_of_one():
    one = BATCH | {"SLURM_JOB_NODELIST": "n1", "SLURM_TASKS_PER_NODE": "1", "SLURM_NTASKS": "1"}
    for place in (place_in_step(one | {"SLURM_JOB_CPUS_PER_NODE": "4"}, range(4)), place_in_step({}, range(4))):
        assert (place.rank, place.size, place.threads) == (0, 1, 4)


def test_ranks_of_mpirun_have_the_places_of_their_hosts():
    seen = [("n2", {0}), ("n1", {0}), ("n2", {1}), ("n1", {0}), ("n3", {0, 1, 2})]
    places = [place_among(rank, seen) for rank in range(5)]
    assert [place.local_rank for place in places] == [0, 0, 1, 1, 0]
    assert [place.local_size for place in places] == [2, 2, 2, 2, 1]
    assert [place.variables()["GROUP_RANK"] for place in places] == ["0", "1", "0", "1", "2"]
    assert [place.threads for place in places] == [1, 1, 1, 1, 3]


@pytest.mark.parametrize(
    ("env", "size"),
    [
        ({}, 0),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "0"}, 0),
        ({"OMPI_COMM_WORLD_SIZE": "6", "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "0"}, 6),
        ({"PMI_SIZE": "6", "PMI_RANK": "5", "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2"}, 6),
        ({"PMI_SIZE": "3", "PMI_RANK": "2", "SLURM_STEP_NUM_TASKS": "3", "SLURM_PROCID": "2"}, 0),
        ({"PMIX_RANK": "1", "PMIX_NAMESPACE": "slurm.pmix.7.0", "SLURM_STEP_NUM_TASKS": "3"}, 0),
    ],
)
def test_mpirun_is_told_from_srun_with_a_plugin_for_mpi(env, size):
    assert ranks_of_mpirun(env) == size


@pytest.mark.parametrize(
    ("cpus", "ranks", "held", "threads"),
    [
        (2, 4, 8, 2),  # bound, each to two of eight
        (8, 4, 8, 2),  # not bound
        (64, 2, 4, 2),  # not bound, on a node of other jobs too
        (4, 1, 16, 4),  # a step of fewer CPUs than the job
        (3, 2, None, 1),
        (1, 4, 1, 1),
    ],
)
def test_threads_are_the_cpus_of_the_rank(cpus, ranks, held, threads):
    assert rank_threads(range(cpus), ranks, held) == threads


def test_a_place_alone_is_that_of_rank_0():
    assert set(Place().variables().values()) == {"0", "1"}

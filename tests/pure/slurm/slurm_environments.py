"""Environments of jobs and steps, for the tests of the allocation."""

from hpcml.slurm.allocation import Allocation, detect

BATCH = {
    "ENVIRONMENT": "BATCH",
    "SLURMD_NODENAME": "n1",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "n[1-3]",
    "SLURM_JOB_NUM_NODES": "3",
    "SLURM_JOB_CPUS_PER_NODE": "4(x2),2",
    "SLURM_TASKS_PER_NODE": "2(x2),1",
    "SLURM_CPUS_PER_TASK": "2",
    "SLURM_NTASKS": "5",
    "SLURM_PROCID": "0",
}
STEP = {
    **BATCH,
    "SLURMD_NODENAME": "n2",
    "SLURM_TASKS_PER_NODE": "2,1",
    "SLURM_NTASKS": "3",
    "SLURM_STEP_ID": "4",
    "SLURM_STEP_NODELIST": "n[2-3]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "3",
    "SLURM_STEP_TASKS_PER_NODE": "2,1",
    "SLURM_PROCID": "1",
}
HET = {
    "SLURM_JOB_ID": "7",
    "SLURM_HET_SIZE": "2",
    "SLURM_JOB_ID_HET_GROUP_0": "7",
    "SLURM_JOB_ID_HET_GROUP_1": "8",
    "SLURM_JOB_NODELIST_HET_GROUP_0": "n1",
    "SLURM_JOB_NODELIST_HET_GROUP_1": "n[2-3]",
    "SLURM_TASKS_PER_NODE_HET_GROUP_0": "1",
    "SLURM_TASKS_PER_NODE_HET_GROUP_1": "3,1",
}


def found(env: dict[str, str]) -> Allocation:
    allocation = detect(env)
    assert allocation is not None
    return allocation

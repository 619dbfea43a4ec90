"""Reasons why a job waits, or has ended as it did, in words; see JOB REASON CODES in squeue(1)."""

import signal
from collections.abc import Mapping

from hpcml.slurm.jobs.states import FORGOTTEN, Job

__all__ = ["reason_in_words"]

_PENDING: Mapping[str, str] = {
    "None": "Slurm has not looked at the job yet",
    "Priority": "jobs with a higher priority come first",
    "Resources": "waiting for nodes to become free",
    "Dependency": "waiting for another job to end",
    "DependencyNeverSatisfied": "the job that this one waits for has failed: cancel this job",
    "BeginTime": "waiting for its begin time, or for a requeue to take effect",
    "JobHeldUser": "held by its owner: scontrol release JOB",
    "JobHeldAdmin": "held by an administrator",
    "JobArrayTaskLimit": "as many tasks of the array run as the array allows",
    "ReqNodeNotAvail": "a node that the job needs is down, drained or reserved",
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        "the nodes that the job needs are down, drained or reserved"
    ),
    "PartitionNodeLimit": "asks for more nodes than the partition has or allows: it will not start",
    "PartitionTimeLimit": "asks for more time than the partition allows: it will not start",
    "PartitionConfig": "asks for nodes that the partition does not have: it will not start",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition takes no jobs",
    "BadConstraints": "no node has what the job asks for: it will not start",
    "Licenses": "waiting for licenses",
    "Reservation": "waiting for its reservation",
    "QOSMaxJobsPerUserLimit": "you have as many jobs running as your QOS allows",
    "QOSMaxSubmitJobPerUserLimit": "you have as many jobs queued as your QOS allows",
    "AssocMaxJobsLimit": "your account has as many jobs running as it may",
    "AssocGrpCpuLimit": "your account uses as many CPUs as it may",
    "QOSMaxCpuPerUserLimit": "you use as many CPUs as your QOS allows",
    "InvalidAccount": "the account does not exist or is not yours",
    "InvalidQOS": "the QOS does not exist or is not yours",
    "launch failed requeued held": "failed to start several times and is held: scontrol release JOB",
}
_ENDED: Mapping[str, str] = {
    "BOOT_FAIL": "its node could not be booted",
    "CANCELLED": "it was cancelled",
    "DEADLINE": "its deadline has passed",
    "NODE_FAIL": "a node failed",
    "OUT_OF_MEMORY": "it used more memory than it had asked for: ask for more with --mem or --mem-per-cpu",
    "PREEMPTED": "a job with a higher priority took its place",
    "REVOKED": "another cluster of the federation runs it",
    "TIMEOUT": "it reached its time limit: ask for more with --time",
}

_OTHER: Mapping[str, str] = {
    "CONFIGURING": "its nodes are starting",
    "COMPLETING": "its nodes are being cleaned",
    "SUSPENDED": "suspended",
    FORGOTTEN: "it has ended, and Slurm no longer knows how: see its log",
}


def reason_in_words(job: Job) -> str:
    """Return why a job waits or has ended as it did, in words; "" for a job that runs or has succeeded.

    Examples
    --------
    >>> from hpcml.slurm.jobs.reasons import reason_in_words
    >>> from hpcml.slurm.jobs.states import Job
    >>> reason_in_words(Job(7, "7", "PENDING", "Resources"))
    'waiting for nodes to become free'
    >>> reason_in_words(Job(7, "7", "FAILED", "NonZeroExitCode", exit_code=(3, 0)))
    'its script ended with exit status 3'
    """
    if job.state == "FAILED":
        status, number = job.exit_code
        return (
            f"its script was ended by {_signal_name(number)}"
            if number
            else f"its script ended with exit status {status}"
        )
    if job.state in _ENDED:
        return _ENDED[job.state]
    if job.state == "PENDING":
        reason = job.reason.strip("()").split(",")[0]
        return _PENDING.get(job.reason.strip("()"), _PENDING.get(reason, reason)).replace("JOB", job.label)
    return _OTHER.get(job.state, "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"

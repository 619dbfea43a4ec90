"""Examination by ``hpcml doctor``: the facts are collected, then all checks judge them."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from hpcml.commands.doctor.checks.environment import check_paths, check_variables
from hpcml.commands.doctor.checks.files import (
    check_home,
    check_locks,
    check_run_directory,
    check_shared_memory,
    check_temporary_directory,
    check_working_directory,
)
from hpcml.commands.doctor.checks.network import check_clocks, check_controller, check_driver, check_names
from hpcml.commands.doctor.checks.nodes import check_answers, check_imports, check_start
from hpcml.commands.doctor.checks.resources import (
    check_cpus,
    check_gpus,
    check_limits,
    check_memory,
    check_open_files,
    check_time_left,
)
from hpcml.commands.doctor.checks.slurm import check_driver_host, check_mpi, check_slurm
from hpcml.commands.doctor.checks.software import check_origins, check_versions
from hpcml.commands.doctor.computer import describe_computer, describe_place
from hpcml.commands.doctor.facts import Computer, Facts, Place, StepFacts
from hpcml.commands.doctor.finding import Finding, Severity
from hpcml.commands.doctor.slurm_facts import slurm_facts
from hpcml.commands.doctor.step import ProbeStep
from hpcml.commands.doctor.trial import Trial, trial_directory
from hpcml.engines.plan import Plan, make_nodes
from hpcml.errors import AllocationError, CommandError, HpcmlError
from hpcml.slurm.allocation import Allocation, detect
from hpcml.slurm.queries import job_gpus

__all__ = ["CHECKS", "collect", "judge"]

CHECKS: tuple[Callable[[Facts], list[Finding]], ...] = (
    check_slurm,
    check_driver_host,
    check_time_left,
    check_start,
    check_answers,
    check_controller,
    check_driver,
    check_names,
    check_clocks,
    check_cpus,
    check_gpus,
    check_memory,
    check_shared_memory,
    check_open_files,
    check_limits,
    check_versions,
    check_origins,
    check_imports,
    check_mpi,
    check_variables,
    check_paths,
    check_working_directory,
    check_run_directory,
    check_locks,
    check_home,
    check_temporary_directory,
)

# Checks where this host cannot be examined: those of Slurm and of the environment, and those of the nodes alone.
_OF_OTHERS = (check_slurm, check_driver_host, check_time_left, check_mpi, check_variables)
_OF_NODES = (
    check_start,
    check_answers,
    check_controller,
    check_names,
    check_clocks,
    check_cpus,
    check_memory,
    check_open_files,
    check_limits,
    check_imports,
    check_paths,
)
_HERE_SECONDS = 15.0  # for the facts about this host


def judge(facts: Facts) -> list[Finding]:
    """Return the findings of all checks, the gravest first."""
    order = list(Severity)
    checks = CHECKS
    if facts.hung_stage:
        checks = (*_OF_OTHERS, *(_OF_NODES if facts.nodes else ()))
    found = [finding for check in checks for finding in check(facts)]
    return sorted(found, key=lambda finding: order.index(finding.severity))


def collect(environment: Mapping[str, str], timeout: float) -> Facts:
    """Return the facts about this host, about Slurm, and about each node of the allocation.

    Parameters
    ----------
    environment
        The environment variables of this process.
    timeout
        Seconds for the examination of the nodes.

    Raises
    ------
    HpcmlError
        The working directory has been removed.
    """
    try:
        here = _Here(environment)
    except FileNotFoundError as error:
        raise HpcmlError("the working directory is gone: change to another, for instance by `cd`") from error
    facts = Facts(Computer(os.uname().nodename), environment, prefix=os.path.realpath(sys.prefix))
    allocation = None
    try:
        allocation = detect(environment)
        if allocation is not None:
            make_nodes(allocation, 1, everywhere=True)  # refuses one of many copies of this command
    except AllocationError as error:
        facts, allocation = replace(facts, problem=str(error)), None
    with trial_directory(here.directory_answers()) as trial, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(slurm_facts, environment, allocation)
        facts = replace(facts, allocation=allocation, run_dir_error=trial.error, lock_error=trial.lock_error)
        if allocation is not None:
            facts = _examine_nodes(facts, allocation, trial, timeout)
        return here.join(replace(facts, slurm=asked.result()))


def _examine_nodes(facts: Facts, allocation: Allocation, trial: Trial, timeout: float) -> Facts:
    plan = Plan(allocation.nodes, allocation, trial.path, facts.environment, os.getcwd(), timeout)
    with contextlib.suppress(CommandError):  # another check says that Slurm does not answer
        plan = replace(plan, gpus=job_gpus(allocation.exact_id, facts.environment))
    step = ProbeStep(plan, trial.order)
    try:
        seen = step.run()
    except CommandError as error:
        seen = StepFacts(timeout, True, str(error))
    nodes = tuple(replace(node, gpus=plan.gpus.count(node.name) or node.gpus) for node in plan.nodes)
    return replace(facts, nodes=nodes, seen=step.seen, controller=step.controller, step=seen)


class _Here:
    """Description of this host by a thread, which a file system that does not answer may hold for ever."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._stage = ""
        self._computer: Computer | None = None
        self._directory = Place(os.getcwd())
        self._answered = threading.Event()
        self._thread = threading.Thread(target=self._describe, daemon=True)
        self._thread.start()

    def _describe(self) -> None:
        self._begin(f"write to {self._directory.path}")
        self._directory = describe_place(self._directory.path)
        self._answered.set()
        self._computer = describe_computer(self._environment, self._begin)

    def _begin(self, stage: str) -> None:
        self._stage = stage

    def directory_answers(self) -> bool:
        """Return whether the working directory answers."""
        return self._answered.wait(_HERE_SECONDS)

    def join(self, facts: Facts) -> Facts:
        """Return `facts` with those about this host, or with the stage that does not end."""
        self._thread.join(_HERE_SECONDS if self._answered.is_set() else 0)
        if self._computer is None:
            return replace(facts, directory=self._directory, hung_stage=self._stage)
        return replace(facts, directory=self._directory, driver=self._computer)

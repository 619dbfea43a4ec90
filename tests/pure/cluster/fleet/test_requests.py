"""Requests of nodes: filled by an allocation that has them, else by jobs, whose files say what was asked for."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpcml.cluster.fleet.account import final_totals
from hpcml.cluster.fleet.adapt import Adaptation
from hpcml.cluster.fleet.choice import choose
from hpcml.cluster.fleet.job import FleetJob
from hpcml.cluster.fleet.job_plan import plan_of_job
from hpcml.cluster.fleet.request import Timing, allocation_for, is_filled_by, request_of
from hpcml.cluster.options import Options
from hpcml.cluster.progress import Totals
from hpcml.engines.plan import Plan
from hpcml.errors import SubmissionError
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.jobs.site import Site
from hpcml.slurm.nodes import Node

JOB = Allocation(
    7, (Node("n1", 4, cpus=4), Node("n2", 4, cpus=4), Node("n3", 2, cpus=2)), "batch", launch_node="n2"
)


def asked(**options):
    return Options.from_arguments(options)


def test_a_job_file_has_the_options_of_the_user_before_those_of_the_site():
    options = asked(
        nodes=2,
        ntasks_per_node=4,
        time="1:00:00",
        partition="long",
        sbatch={"gpus_per_node": 1, "exclusive": True},
    )
    site = Site({"partition": "main", "account": "project"}, modules=("python/3.11",))
    script = request_of(options, site, Timing()).script(2, "/opt/python", Path("/home/me/100%"), Path("r"), site)
    words = script.option_words()
    assert {"--nodes=2", "--ntasks-per-node=4", "--time=1:00:00", "--partition=long", "--account=project"} <= {
        *words
    }
    assert {"--gpus-per-node=1", "--exclusive", "--no-kill", "--no-requeue"} <= {*words}
    assert "--output=/home/me/100%%/job-%j.log" in words
    assert script.text().splitlines()[-2:][0] == "module load python/3.11"
    assert script.command[-5:] == ("/home/me/100%/heartbeat", "r", "5", "15", "45")


def test_an_option_that_is_off_is_left_out():
    assert asked(nodes=1, sbatch={"--exclusive": False, "mem": None, "hint": "nomultithread"}).sbatch == (
        ("hint", "nomultithread"),
    )


@pytest.mark.parametrize(
    ("options", "hosts"),
    [
        ({"nodes": 1}, ("n2",)),  # the driver's own
        ({"nodes": 2}, ("n1", "n2")),
        ({"nodes": 3}, ("n1", "n2", "n3")),
        ({"nodes": 3, "ntasks_per_node": 4}, None),
        ({"nodes": 3, "ntasks_per_node": 2}, ("n1", "n2", "n3")),
        ({"nodes": 2, "ntasks_per_node": 2, "cpus_per_task": 2}, ("n1", "n2")),
        ({"nodes": 4}, None),
    ],
)
def test_an_allocation_fills_a_request_that_its_nodes_have_room_for(options, hosts):
    part = allocation_for(asked(**options), JOB)
    assert (None if part is None else part.hosts) == hosts


def test_a_request_in_an_allocation_gets_its_slots():
    choice = choose(asked(nodes=2, ntasks_per_node=2, cpus_per_task=2), JOB, {})
    assert choice.allocation.hosts == ("n1", "n2")
    assert (choice.options.slots_per_node, choice.options.cpus_per_slot, choice.request) == (2, 2, None)


@pytest.mark.parametrize(
    ("options", "filled"),
    [
        ({}, True),
        ({"nodes": 2}, True),
        ({"nodes": 2, "ntasks_per_node": 4, "cpus_per_task": 1}, True),
        ({"nodes": 3, "ntasks_per_node": 4}, False),
        ({"nodes": 1, "cpus_per_task": 2}, False),
    ],
)
def test_workers_that_are_open_fill_a_request_for_as_many_or_fewer(tmp_path, options, filled):
    plan = Plan(JOB.nodes, JOB, tmp_path, {})
    assert is_filled_by(asked(**options), plan) is filled
    assert is_filled_by(asked(**options), replace(plan, allocation=None)) is (not options)


def test_a_computer_without_slurm_is_an_error_that_names_the_way_out(tmp_path):
    with pytest.raises(SubmissionError, match=r"no sbatch is on the PATH.*hpcml\.Cluster\(\)"):
        choose(asked(nodes=2), None, {"PATH": str(tmp_path)})
    assert choose(Options(), None, {}).is_local


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"partition": "main"}, r"Cluster\(partition='main'\) is about nodes that Slurm gives: add nodes="),
        ({"nodes": 0}, r"Cluster\(nodes=0\): it must be a whole number, 1 or more"),
        ({"nodes": 1, "engine": "local"}, "it must be 'ipyparallel' or 'auto'"),
        ({"nodes": 1, "slots_per_node": 2}, "write ntasks_per_node=…"),
        ({"nodes": 1, "idle_timeout": 0}, "a number of seconds above 0"),
    ],
)
def test_a_request_that_makes_no_sense_is_an_error(options, message):
    with pytest.raises(ValueError, match=message):
        asked(**options)


def test_the_bounds_of_a_fleet_that_adapts_are_checked():
    with pytest.raises(ValueError, match=r"adapt\(minimum=3, maximum=2\)"):
        Adaptation(3, 2)


VARIABLES = {"SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "4(x2)"}
VARIABLES |= {"SLURM_JOB_CPUS_PER_NODE": "4(x2)", "SLURM_JOB_NUM_NODES": "2"}


def fleet_plan(tmp_path):
    environment = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", "SLURM_JOB_ID": "6", "SLURM_STEP_ID": "0"}
    return Plan((Node("login", 2),), None, tmp_path, environment, min_slots=12, data_dir=tmp_path)


def test_a_job_is_an_allocation_as_salloc_on_a_login_node_has_it(tmp_path):
    plan = plan_of_job(fleet_plan(tmp_path), VARIABLES, min_slots=None)
    assert (plan.allocation.where, plan.allocation.label, plan.slots) == ("login", "7", 8)
    assert plan.environment == {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", **VARIABLES}
    assert (plan.min_slots, plan.data_dir, plan.run_dir.parent) == (None, None, tmp_path)
    assert plan.run_dir.stat().st_mode & 0o777 == 0o700


def test_a_report_counts_when_it_is_whole(tmp_path):
    job = FleetJob("7", 2, tmp_path / "report")
    job.report.touch(0o600)
    text = json.dumps(VARIABLES)
    for part, read in (("", None), (text[:20], None), (text, None), (f"{text}\n", VARIABLES)):
        job.report.write_text(part)
        assert job.read_report() == read


def test_totals_are_of_all_jobs_that_came_and_went(tmp_path):
    plan = plan_of_job(fleet_plan(tmp_path), VARIABLES, min_slots=None)
    jobs = [FleetJob(label, 2, tmp_path / label) for label in "789"]
    for job, started, ended in zip(jobs, (0.0, 50.0, None), (60.0, None, None), strict=True):
        job.started, job.ended, job.plan = started, ended, plan if started is not None else None
    totals = final_totals(Totals(slots=8, hosts=2), jobs, now=110.0)
    assert (totals.slots, totals.hosts) == (16, 2)
    assert totals.slot_seconds == totals.cpu_seconds == 2 * 60 * 8

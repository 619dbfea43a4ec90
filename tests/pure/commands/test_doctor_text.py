"""Text and plain data of `hpcml doctor`."""

import json

from examined import computer, job, laptop, node_facts

from hpcml.commands.doctor.examination import judge
from hpcml.commands.doctor.facts import Facts, SlurmFacts
from hpcml.commands.doctor.finding import Finding, Severity
from hpcml.commands.doctor.text import next_command, plain_data, render_text


def text_of(facts, width=80):
    return render_text(facts, judge(facts), width, 1.25)


def test_a_healthy_job_is_a_headline_a_line_for_each_check_and_a_sum():
    lines = text_of(job()).splitlines()
    assert lines[0] == "hpcml doctor: job 7, 3 nodes n[1-3], 6 slots; this host is login"
    assert "fine  start of a step        n[1-3] in 0.4 s; the slowest is n1" in lines
    assert all(line.startswith("fine  ") for line in lines[2:-2])
    assert lines[-1] == f"{len(lines) - 4} fine (1.2 s)"


def test_findings_follow_the_passed_checks_the_gravest_first_and_fit_the_terminal():
    n2 = node_facts("n2", computer=computer("n2", cpus=1, limits={"NOFILE": (64, 64)}))
    text = text_of(job(n2=n2))
    blocks = text.split("\n\n")
    assert blocks[2].startswith("WILL FAIL: open files\n  seen  n2: RLIMIT_NOFILE is 64; 2 slots need 264\n  why")
    assert blocks[3].startswith("WILL BE SLOW OR SURPRISING: CPUs\n  seen  n2: 1 CPU for 2 of the job")
    assert "  type  ulimit -Hn\n        Slurm gives a job the limits" in blocks[2]
    assert blocks[-1].startswith("1 will fail, 1 will be slow or surprising, ")
    assert all(len(line) <= 80 for line in text.splitlines() if line.startswith(("  seen", "  why")))


def test_a_finding_with_many_groups_of_nodes_is_cut():
    finding = Finding(Severity.SLOW, "x", tuple(f"n{number}: {number}" for number in range(20)), "because", "this")
    assert "n7: 7\n        and 12 more groups of nodes, see --json\n" in render_text(job(), [finding], 80, 1.0)


def test_a_login_node_says_how_to_examine_nodes_and_a_laptop_does_not():
    login = Facts(computer("login"), slurm=SlurmFacts("slurm 24.11"))
    assert text_of(login).startswith("hpcml doctor: this host is login, in no job\n")
    assert text_of(login).splitlines()[-1].endswith("hpcml doctor --nodes=2")
    assert next_command(laptop()) == []


def test_plain_data_is_json_without_the_environment():
    facts = job(environment={"SECRET": "password"})
    text = json.dumps(plain_data(facts, judge(facts), 1.0))
    assert "password" not in text
    data = json.loads(text)
    assert (data["job"], data["host"], data["will_fail"]) == ("7", "login", False)
    assert data["nodes"]["n2"]["computer"]["limits"]["NOFILE"] == [1024, 20000]
    assert data["findings"][0].keys() == {"severity", "check", "seen", "why", "type", "nodes"}

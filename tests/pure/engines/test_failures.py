"""Errors of a start that fails: firewalls, nodes without workers, refusals of Slurm."""

from types import SimpleNamespace

import pytest

from hpcml.engines.ipyparallel.failures import ControllerState, describe_failures, unreachable
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program


def test_a_firewall_is_shown_by_address_and_node():
    reached = {
        "this process": {"127.0.0.1": "Connection refused", "10.0.0.1": ""},
        "n1": {"127.0.0.1": "", "10.0.0.1": ""},
        "n2": {"127.0.0.1": "somebody else answers", "10.0.0.1": "timed out"},
    }
    assert unreachable(reached) == (
        "no address of the controller can be reached from everywhere:\n"
        "    this process: 127.0.0.1 Connection refused, 10.0.0.1 reached\n"
        "    n1: 127.0.0.1 reached, 10.0.0.1 reached\n"
        "    n2: 127.0.0.1 somebody else answers, 10.0.0.1 timed out\n"
        "A firewall between the nodes, or between them and this host, is the usual cause. Run the script inside "
        "the allocation (with sbatch, or in `srun --pty --overlap -n1 bash`)."
    )


@pytest.mark.parametrize("seen", [{}, {"127.0.0.1": "Connection refused"}], ids=["none", "loopback"])
def test_the_error_says_when_nodes_have_no_ipv4(seen):
    message = unreachable({"this process": seen, "n1": seen})
    assert "no IPv4 address that others could reach" in message
    assert "do not speak IPv6" in message
    assert "firewall" not in message


@pytest.fixture
def program(tmp_path):
    """Make a program that has a log and an exit status, and no process."""

    def make(log, name="workers-0", status=None):
        path = tmp_path / f"{name}.log"
        path.write_text(log)
        made = Program.__new__(Program)
        made.name = name
        made.log = path
        made._process = SimpleNamespace(poll=lambda: status)
        return made

    return make


NODES = tuple(Node(f"n{number}", 1) for number in (1, 2, 3))


def test_each_node_without_workers_has_its_own_reason(program):
    steps = [(NODES, program("0: fine\n1: ImportError: no module\n 2: slow\n"))]
    seen = ControllerState(program("", "controller"), ended=False, ready=True)
    message = describe_failures(seen, steps, {"n1", "n2"}, {"n1"}, labelled=True).splitlines()
    assert message[1:4] == [
        "n2 has no worker; its log ends with",
        "    1: ImportError: no module",
        "n3 has no worker, and it sent no message",
    ]
    assert "scontrol" not in "\n".join(message)


def test_without_news_of_any_node_the_error_names_the_questions_to_slurm(program):
    steps = [(NODES, program("srun: error: Unable to contact slurm controller (connect failure)\n"))]
    message = describe_failures(
        ControllerState(program("", "controller"), False, False), steps, set(), set(), labelled=True
    )
    assert "Slurm has not started the workers. `scontrol ping` shows whether it answers" in message
    assert "`sinfo --Node --nodes=n[1-3]` whether the nodes do" in message
    assert "    srun: error: Unable to contact slurm controller" in message
    alone = describe_failures(
        ControllerState(program("", "controller"), False, False), steps, set(), set(), labelled=False
    )
    assert "scontrol" not in alone


def test_a_refusal_of_slurm_differs_from_its_silence(program):
    steps = [(NODES, program("srun: error: Slurm job 1 has expired\n", status=113))]
    message = describe_failures(
        ControllerState(program("", "controller"), True, False), steps, set(), set(), labelled=True
    )
    assert "Slurm has refused to start the workers" in message
    assert "unset ${!SLURM_@}" in message
    assert "    srun: error: Slurm job 1 has expired" in message
    assert "scontrol ping" not in message

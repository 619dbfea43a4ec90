"""The rules of a start: allocations of any size, which addresses count, and what is said of failures."""

import socket
import threading
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from patience import patient, promised

from hpcml.engines.ipyparallel.failures import Seen, failures, unreachable
from hpcml.engines.nodes.addresses import reach
from hpcml.slurm.allocation import detect
from hpcml.slurm.hostlist import MAX_NAMES, expand
from hpcml.slurm.nodes import Node
from hpcml.slurm.process import Program

TOKEN = b"0123456789abcdef"


# -- the allocation ----------------------------------------------------------------------------------------------
def test_a_hostlist_with_every_form_of_slurms():
    names = "a01 a02 a03 a7 b-1-ib0 b-1-ib1 b-2-ib0 b-2-ib1 c"
    assert expand("a[01-03,7],b-[1-2]-ib[0-1],c") == tuple(names.split())


def job(nodes, **variables):
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": f"n[1-{nodes}]",
        "SLURM_JOB_NUM_NODES": str(nodes),
        "SLURM_TASKS_PER_NODE": f"4(x{nodes - 1}),1",
        "SLURM_JOB_CPUS_PER_NODE": f"8(x{nodes})",
        "SLURMD_NODENAME": "n1",
        **variables,
    }


def test_an_allocation_of_a_hundred_thousand_nodes():
    began = time.perf_counter()
    allocation = detect(job(100_000, SLURM_CPUS_PER_TASK="2"))
    assert time.perf_counter() - began < promised(10)
    assert (len(allocation.nodes), allocation.slots) == (100_000, 399_997)
    assert allocation.nodes[-1] == Node("n100000", 1, cpus_per_slot=2, cpus=8)


@pytest.mark.parametrize(
    "variables",
    [
        {"SLURM_JOB_NODELIST": f"n[1-{MAX_NAMES + 1}]"},
        {"SLURM_JOB_NODELIST": "n[0-9]" * 40},
        {"SLURM_JOB_NODELIST": "n[" * 100_000},
        {"SLURM_JOB_NODELIST": "n," * 100_000 + "]"},
        {"SLURM_JOB_NODELIST": "n" * 1_000_000},
        {"SLURM_TASKS_PER_NODE": "1(x999999999)"},
        {"SLURM_TASKS_PER_NODE": "1," * 1_000_000},
        {"SLURM_TASKS_PER_NODE": "1," * 200_000 + "1"},
        {"SLURM_JOB_NODELIST": "n," * 200_000 + "n"},
        {"SLURM_JOB_NODELIST": ",".join(f"n{number}" for number in range(100_000)), "SLURM_NTASKS": "x" * 100_000},
        {"SLURM_HET_SIZE": "9" * 18, "SLURM_JOB_ID_HET_GROUP_0": "7"},
    ],
    ids=range(11),
)
def test_hostile_variables_are_refused_at_once_with_a_short_error(variables):
    began = time.perf_counter()
    with pytest.raises(Exception, match=r"SLURM_\* variables here do not describe one job") as caught:
        detect(job(3) | variables)
    assert time.perf_counter() - began < promised(10)
    assert len(str(caught.value)) < 20 * 420


# -- which address -----------------------------------------------------------------------------------------------
def greet(listener, word):
    with listener.accept()[0] as connection:
        connection.sendall(word)
        connection.recv(1)


def test_an_address_counts_only_when_the_controller_itself_answers_there():
    with ExitStack() as opened:
        ports = {}
        for number, word in enumerate((TOKEN, b"another program!", b"")):
            listener = opened.enter_context(socket.create_server((f"127.0.0.{number + 1}", 0)))
            ports[f"127.0.0.{number + 1}"] = listener.getsockname()[1]
            if word:
                threading.Thread(target=greet, args=(listener, word), daemon=True).start()
        refused = opened.enter_context(socket.socket())
        refused.bind(("127.0.0.4", 0))
        ports["127.0.0.4"] = refused.getsockname()[1]
        began = time.monotonic()
        assert reach(ports.items(), TOKEN, timeouts=(0.3,)) == {
            "127.0.0.1": "",
            "127.0.0.2": "somebody else answers",
            "127.0.0.3": "timed out",
            "127.0.0.4": "Connection refused",
        }
        assert time.monotonic() - began < promised(5)


def test_a_controller_on_a_busy_host_has_more_time_to_answer():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet_the_second():
            first = listener.accept()[0]
            greet(listener, TOKEN)
            first.close()

        threading.Thread(target=greet_the_second, daemon=True).start()
        found = reach([listener.getsockname()], TOKEN, timeouts=(0.1, patient(10)))
    assert found == {"127.0.0.1": ""}


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
    said = unreachable({"this process": seen, "n1": seen})
    assert "no IPv4 address that others could reach" in said
    assert "do not speak IPv6" in said
    assert "firewall" not in said


# -- who has failed, and why -------------------------------------------------------------------------------------
@pytest.fixture
def program(tmp_path):
    """Make a program of which only the log, and how it ended, matter."""

    def make(log, name="workers-0", status=None):
        path = tmp_path / f"{name}.log"
        path.write_text(log)
        made = Program.__new__(Program)
        made.name, made.log, made._process = name, path, SimpleNamespace(poll=lambda: status)
        return made

    return make


NODES = tuple(Node(f"n{number}", 1) for number in (1, 2, 3))


def test_each_node_without_workers_has_its_own_reason(program):
    steps = [(NODES, program("0: fine\n1: ImportError: no module\n 2: slow\n"))]
    seen = Seen(program("", "controller"), ended=False, ready=True)
    said = failures(seen, steps, {"n1", "n2"}, {"n1"}, labelled=True).splitlines()
    assert said[1:4] == [
        "n2 has no worker; its log ends with",
        "    1: ImportError: no module",
        "n3 has no worker, and nothing was heard from it",
    ]
    assert "scontrol" not in "\n".join(said)


def test_without_news_of_any_node_the_error_names_the_questions_to_slurm(program):
    steps = [(NODES, program("srun: error: Unable to contact slurm controller (connect failure)\n"))]
    said = failures(Seen(program("", "controller"), False, False), steps, set(), set(), labelled=True)
    assert "Slurm has not started the workers. `scontrol ping` tells whether it answers" in said
    assert "`sinfo --Node --nodes=n[1-3]` whether the nodes do" in said
    assert "    srun: error: Unable to contact slurm controller" in said
    alone = failures(Seen(program("", "controller"), False, False), steps, set(), set(), labelled=False)
    assert "scontrol" not in alone


def test_a_refusal_of_slurm_differs_from_its_silence(program):
    steps = [(NODES, program("srun: error: Slurm job 1 has expired\n", status=113))]
    said = failures(Seen(program("", "controller"), True, False), steps, set(), set(), labelled=True)
    assert "Slurm has refused to start the workers" in said
    assert "unset ${!SLURM_@}" in said
    assert "    srun: error: Slurm job 1 has expired" in said
    assert "scontrol ping" not in said

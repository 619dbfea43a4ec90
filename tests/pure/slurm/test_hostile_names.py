"""Hostile names: each is one word of a command, or a part of one, and no shell reads it."""

import ast
import subprocess
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import hpcml
from hpcml.engines.ipyparallel.commands import programs
from hpcml.engines.nodes.steps import IDLE_SCRIPT, idle_steps
from hpcml.engines.plan import Plan
from hpcml.slurm.allocation import Allocation
from hpcml.slurm.commands import controller_step, sbcast, step_environment, worker_step
from hpcml.slurm.nodes import Node

PIECES = [*" '\"\n\\;&|*", "$(touch x)", "`touch x`", "${HOME}", "#SBATCH", "--", "%j", "n1", "é", "\U0001f600"]
SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}
NAMES = st.one_of(
    st.text(min_size=1),
    st.lists(st.sampled_from(PIECES), min_size=1).map("".join),
)
MANY = settings(max_examples=300)


def plan(names: list[str], preload: tuple[str, ...]) -> Plan:
    nodes = tuple(Node(name, slots=1, cpus_per_slot=1, cpus=1) for name in names)
    allocation = Allocation(job_id=7, nodes=nodes, where="batch", launch_node=names[0])
    return Plan(nodes=nodes, allocation=allocation, run_dir=Path("run"), environment={}, preload=preload)


def options(command: list[str]) -> list[str]:
    """Return the options of a step's command, without their values."""
    return [word.partition("=")[0] for word in command[: command.index("--quit-on-interrupt")]]


PLAIN = options(worker_step(["n1"], []))


@MANY
@given(st.lists(NAMES, min_size=1, max_size=4), st.lists(NAMES, max_size=4))
def test_a_step_has_the_same_options_and_the_program_its_words(nodes, program):
    for command in (worker_step(nodes, program), controller_step(nodes[0], program)):
        assert options(command) == PLAIN
        assert command[len(command) - len(program) :] == program
    assert f"--nodelist={','.join(nodes)}" in worker_step(nodes, program)
    assert f"--nodelist={nodes[0]}" in controller_step(nodes[0], program)


@MANY
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.lists(NAMES, max_size=4).map(tuple))
def test_the_programs_of_an_engine_receive_names_unchanged(nodes, preload):
    chosen = plan(nodes, preload)
    _, [(members, launcher)] = programs(chosen)
    assert [node.name for node in members] == nodes
    assert options(launcher) == PLAIN
    assert tuple(launcher[len(launcher) - len(preload) - 1 :]) == ("", *preload)
    [(_, holder)] = idle_steps(chosen, chosen.nodes)
    assert options(holder) == PLAIN
    assert holder[-3:] == ["sh", "-c", IDLE_SCRIPT]


@MANY
@given(NAMES, NAMES, NAMES)
def test_paths_are_words_of_sbcast(step, source, target):
    command = sbcast(step, source, target, 10**8)
    assert command[1] == f"--jobid={step}"
    assert command[-2:] == [source, target]
    assert len(command) == 6


@MANY
@given(st.dictionaries(NAMES, NAMES))
def test_values_of_variables_are_unchanged(env):
    kept = step_environment(env)
    assert all(kept[name] == value for name, value in env.items() if name in kept and name != "SLURM_EXIT_ERROR")


@settings(max_examples=30)
@given(NAMES.filter(lambda name: "\0" not in name))
def test_the_one_line_for_a_shell_executes_no_name(name):
    """`commands.IDLE_SCRIPT` is a constant; it uses variables, whose values the shell does not parse again."""
    env = {"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": name, "SLURM_JOB_ID": "7", "SLURM_STEP_ID": name}
    with tempfile.TemporaryDirectory() as directory:
        options = {"cwd": directory, "env": env, "stdin": subprocess.DEVNULL, "capture_output": True}
        done = subprocess.run(["sh", "-c", IDLE_SCRIPT], check=True, timeout=20, **options)
        assert done.stderr == b""
        assert not list(Path(directory).iterdir())


def test_no_command_is_for_a_shell():
    """The library has neither ``shell=True`` nor `os.system` nor an f-string after ``sh -c``."""
    for path in Path(hpcml.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "shell":
                raise AssertionError(f"{path}:{node.value.lineno} says shell=")
            if isinstance(node, ast.Attribute) and node.attr in SHELLS:
                raise AssertionError(f"{path}:{node.lineno} calls a shell")
            if isinstance(node, ast.List) and [ast.unparse(item) for item in node.elts[:2]] == ["'sh'", "'-c'"]:
                assert ast.unparse(node.elts[2]) in ("IDLE_SCRIPT", "FIRST_THERE", "HOLDER.read_text()")

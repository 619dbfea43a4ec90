"""Conventions of the package: public names, sizes, docstrings, and a test for every module."""

import ast
import importlib
from pathlib import Path

import pytest
from package_modules import MODULES, ROOT, TOP, imported

MAX_MODULE_LINES = 250
MADE_BY_OTHERS = ("__init__", "public", "evolve", "models", "training", "engines.local", "scoop_programs")
"""Modules whose public names are those of others."""
MAX_FUNCTION_LINES = 30  # of the body, without the docstring

REACHED_THROUGH = {
    "hpcml.submit, map_array": {
        "cluster.jobs.array", "cluster.jobs.array_results", "cluster.jobs.job", "cluster.jobs.local",
        "cluster.jobs.program", "cluster.jobs.scheduler", "cluster.jobs.submission", "cluster.jobs.watcher",
    },
    "hpcml.Cluster": {
        "cluster.cluster", "cluster.dispatch.chunks", "cluster.dispatch.returned_frames", "cluster.executor",
        "cluster.fleet.fleet", "cluster.fleet.lifeline", "cluster.fleet.queue_watch", "cluster.fleet.size",
        "cluster.fleet.upkeep", "cluster.lifetime", "cluster.option_fields", "cluster.workforce",
        "cluster.map.map_call", "cluster.session", "engines.ipyparallel.engine_table", "engines.ipyparallel.watch",
        "engines.local.engine", "engines.local.process",
    },
    "engine mpi": {
        "engines.mpi", "engines.mpi.launcher", "engines.mpi.message_types", "engines.mpi.news",
        "engines.mpi.ranks", "engines.mpi.recovery", "engines.mpi.relay_process", "engines.mpi.startup",
        "engines.mpi.step", "engines.mpi.workers", "engines.nodes.failures",
    },
    "Cluster(mpi=True)": {"engines.ipyparallel.ranks", "engines.nodes.rank_start"},
    "a notebook": {
        "cluster.notebook.bars", "cluster.notebook.interactive", "cluster.notebook.shell",
        "cluster.notebook.shown",
    },
    "hpcml.scoop_programs": {"cluster.scoop.futures", "cluster.scoop.on_path.scoop", "cluster.scoop.shared"},
    "hpcml.evolve": {
        "evolve.algorithms", "evolve.archipelago", "evolve.interface", "evolve.loop", "evolve.steady",
    },
    "hpcml.training.rank_env": {"training.ranks.environment"},
    "hpcml.training.Checkpoints": {
        "journal.checkpoint_lock",
        "training.checkpoints.checkpoints", "training.checkpoints.files", "training.checkpoints.versions",
        "training.checkpoints.writer",
    },
    "hpcml.training.DataParallel": {
        "training.parallel.data_parallel", "training.parallel.flat_values", "training.parallel.torch_gradients",
        "training.rank_group", "training.ring",
    },
    "hpcml.training.ParameterServer": {"training.parallel.parameter_server"},
    "hpcml.models.ModelStore": {"models.manifest", "models.saving", "models.store"},
    "hpcml models": {"commands.model_parsers", "commands.models"},
    "hpcml serve": {
        "commands.serve", "serving.items",
        "serving.server", "serving.totals",
    },
    "hpcml.training.SplitLinear": {"training.parallel.model_parallel"},
    "hpcml run": {
        "cluster.ipyparallel.parts", "commands.at_start.sitecustomize", "commands.run", "commands.torch.end",
        "commands.torch.here", "commands.torch.nodes_left", "commands.torch.rank", "engines.scoop.broker",
        "engines.scoop.packing", "engines.scoop.patches", "engines.scoop.pool", "engines.scoop.script",
        "engines.scoop.steps",
    },
    "mpirun": {
        "cluster.served", "engines.mpi.own_ranks", "engines.mpi.rank_thread",
        "engines.mpi.serving",
    },
    "hpcml jobs, logs, wait, cancel": {
        "commands.jobs.follow", "commands.jobs.listing", "commands.jobs.runs", "commands.program",
    },
    "hpcml scaling": {"commands.scaling.command", "commands.scaling.measuring"},
    "hpcml tutorial": {"commands.tutorial.graders.grid_search"},
    "hpcml doctor": {
        "commands.doctor.checks.environment", "commands.doctor.checks.files", "commands.doctor.checks.network",
        "commands.doctor.checks.nodes", "commands.doctor.checks.resources", "commands.doctor.checks.slurm",
        "commands.doctor.checks.software", "commands.doctor.command", "commands.doctor.probe",
        "commands.doctor.step",
    },
    "programs on nodes": {
        "engines.ipyparallel.controller", "engines.ipyparallel.engine", "engines.ipyparallel.launcher",
        "engines.ipyparallel.plain", "engines.ipyparallel.view_output", "engines.scoop.node",
        "engines.scoop.worker",
    },
    "data.packing": {
        "data.arrays", "data.file_maps", "data.function_objects", "data.slotted_classes", "data.tensors",
    },
    "journal.call_keys": {
        "journal.key_pickler", "journal.kinds", "journal.object_digests", "journal.reductions",
    },
    "types alone": {
        "engines.interface", "engines.ipyparallel.message_types", "engines.scoop.message_types",
    },
}  # fmt: skip
"""Modules that no test imports, by the name or the program through which tests reach them."""


@pytest.mark.parametrize("name", sorted(MODULES))
def test_all_lists_the_public_names(name):
    tree = MODULES[name]
    if name in TOP - {"__init__"}:
        return
    module = importlib.import_module("hpcml" if name == "__init__" else f"hpcml.{name}")
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    public = {item for item in names if not item.startswith("_")}
    assert sorted(module.__all__) == module.__all__, "__all__ is sorted"
    if name in MADE_BY_OTHERS:
        return
    constants = {item for item in module.__all__ if not callable(getattr(module, item)) or item.istitle()}
    assert set(module.__all__) - constants == public - constants


@pytest.mark.parametrize("name", sorted(MODULES))
def test_modules_and_functions_stay_small(name):
    path = ROOT / Path(*name.split("."))
    path = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    assert len(path.read_text().splitlines()) <= MAX_MODULE_LINES
    for node in ast.walk(MODULES[name]):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert length <= MAX_FUNCTION_LINES, f"{name}.{node.name} has {length} lines"


def documented(tree):
    """Yield name and docstring of a module and of its classes and functions; None where there is none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            yield getattr(node, "name", ""), ast.get_docstring(node)


def test_public_names_have_docstrings():
    for name, tree in MODULES.items():
        for inner, text in documented(tree):
            assert text or inner.startswith("_"), f"{name}.{inner} has no docstring"


def test_docstrings_begin_with_the_thing():
    """A first line with "What" or "How" is about a thing and does not name it."""
    for name, tree in MODULES.items():
        for inner, text in documented(tree):
            assert (text or "").split(maxsplit=1)[:1] not in (["What"], ["How"]), f"{name}.{inner}: {text}"


def test_public_docstrings_have_one_sentence_first():
    """The first line of a docstring is a summary, which ends with a full stop."""
    for name, tree in MODULES.items():
        for inner, text in documented(tree):
            summary = (text or ".").splitlines()[0]
            assert summary.endswith(".") or inner.startswith("_"), f"{name}.{inner}: {summary}"


def test_every_module_is_imported_by_a_test_or_named():
    tests = Path(__file__).parents[1]
    targets = set()
    for path in tests.rglob("*.py"):
        if path.relative_to(tests).parts[0] != "benchmarks":
            targets |= {target.removeprefix("hpcml.") for target in imported(ast.parse(path.read_text()))}
    code = (ast.FunctionDef, ast.ClassDef)
    unreached = {name for name, tree in MODULES.items() if any(isinstance(node, code) for node in tree.body)}
    unreached -= targets | TOP
    named = set().union(*REACHED_THROUGH.values())
    assert not unreached - named, "write a test that imports them, or add them to REACHED_THROUGH"
    assert not named - unreached, "remove them from REACHED_THROUGH: a test imports them, or they are gone"

"""Architecture of the package: imports go down only, each foreign library has few importers."""

import ast
import subprocess
import sys

import pytest
from package_modules import MODULES, TOP, imported

FOLDERS = {
    "errors": (),
    "interpreter": ("errors",),
    "slurm": ("errors",),
    "data": ("slurm", "errors"),
    "journal": ("data", "slurm", "errors"),
    "engines": ("journal", "data", "slurm", "interpreter", "errors"),
    "evolve": ("journal", "data", "errors"),
    "training": ("journal", "slurm", "errors"),
    "models": ("journal", "slurm", "errors"),
    "cluster": ("engines", "journal", "data", "slurm", "interpreter", "errors"),
    "serving": ("cluster", "models", "journal", "data", "errors"),
    "commands": (
        *("serving", "cluster", "training", "models", "evolve", "engines"),
        *("journal", "data", "slurm", "interpreter", "errors"),
    ),
    "scoop_programs": ("cluster",),
    "public": ("cluster", "data", "slurm", "errors"),
}
"""Each folder or module of the package, and those that it may import."""

SHARED_MODULES = {
    ("data", "slurm"): {"commands", "process"},
    ("data.staging", "data"): {"digests"},
    ("engines", "journal"): {"private_files"},
    ("evolve", "journal"): {"checkpoint"},
    ("training", "journal"): {"checkpoint_lock", "private_files"},
    ("models", "journal"): {"call_keys", "file_locks", "private_files"},
    ("models", "slurm"): {"process"},
    ("serving", "cluster"): {"cluster"},
    ("serving", "data"): {"broadcast"},
    ("serving", "journal"): {"file_locks", "private_files"},
    ("serving", "models"): {"store"},
}
"""Modules of a folder that another folder may import, where these are not all."""

SUBFOLDERS = {
    "slurm": (),
    "slurm.jobs": ("slurm",),
    "cluster": ("cluster.dispatch", "cluster.fleet", "cluster.map", "cluster.notebook"),
    "data": ("data.staging",),
    "engines": (),
    "commands": (
        *("commands.doctor", "commands.report", "commands.jobs", "commands.jupyter", "commands.top"),
        "commands.torch",
    ),
    "engines.nodes": ("engines",),
    "engines.local": ("engines",),
    "engines.ipyparallel": ("engines", "engines.nodes"),
    "engines.mpi": ("engines", "engines.nodes"),
    "engines.scoop": ("engines", "engines.nodes"),
    "cluster.dispatch": (),
    "cluster.fleet": ("cluster",),
    "cluster.notebook": ("cluster", "cluster.fleet"),
    "cluster.map": ("cluster", "cluster.dispatch"),
    "cluster.ipyparallel": ("cluster", "cluster.joblib"),
    "cluster.joblib": ("cluster", "cluster.dispatch"),
    "cluster.jobs": ("cluster", "cluster.joblib", "cluster.scoop"),
    "cluster.scoop": ("cluster",),
    "data.staging": ("data",),
    "training": ("training.checkpoints", "training.parallel", "training.ranks"),
    "training.checkpoints": ("training",),
    "training.parallel": ("training", "training.checkpoints"),
    "training.ranks": (),
    "commands.doctor": (),
    "commands.report": (),
    "commands.jupyter": ("commands.jobs",),
    "commands.scaling": ("commands", "commands.jobs"),
    "commands.tutorial": ("commands.report", "commands.scaling"),
    "commands.jobs": ("commands", "commands.report"),
    "commands.top": ("commands.jobs", "commands.report"),
    "commands.at_start": ("commands", "commands.torch"),
    "commands.torch": ("commands",),
}
"""Folders inside a folder, and those of the same folder that they may import."""

# Each foreign library may be imported in these modules only, also inside functions.
IMPORTERS = {
    "matplotlib": {"commands.scaling.picture", "evolve.plot"},
    "deap": {"commands.tutorial.graders.genetic_algorithm", "commands.tutorial.graders.islands",
             "commands.tutorial.graders.seeds_and_clock", "data.deap",
             "evolve.algorithms", "evolve.state"},
    "cloudpickle": {"data.class_loading", "data.classes", "data.unpicklable", "data.definitions", "data.deap",
                    "data.out_of_band", "data.pickling", "journal.call_keys", "engines.scoop.packing"},
    "ipykernel": set(),
    "ipyparallel": {"cluster.ipyparallel.launchers", "cluster.ipyparallel.parts", "engines.ipyparallel.client",
                    "engines.ipyparallel.controller", "engines.ipyparallel.engine", "engines.ipyparallel.requests",
                    "engines.ipyparallel.views"},
    "joblib": {"cluster.joblib.library", "cluster.opening", "data.envelope"},
    "loky": {"engines.local.executors"},
    "mpi4py": {"engines.mpi.own_ranks", "engines.nodes.rank_start", "training.ranks.mpirun"},
    "numpy": {"commands.scaling.fits", "commands.tutorial.graders.data_once",
              "commands.tutorial.graders.data_parallel", "commands.tutorial.graders.genetic_algorithm",
              "commands.tutorial.graders.broken.completed", "commands.tutorial.graders.broken.lost_table",
              "commands.tutorial.graders.broken.slower_than_one",
              "commands.tutorial.graders.broken.small_input_only",
              "commands.tutorial.graders.broken.works_by_hand",
              "commands.tutorial.graders.grid_search", "commands.tutorial.graders.one_map",
              "commands.tutorial.graders.seeds_and_clock", "data.arrays",
              "data.file_maps", "data.map_modes", "data.random_state", "evolve.random_streams",
              "training.checkpoints.files", "training.checkpoints.surroundings", "training.checkpoints.values",
              "training.checkpoints.writer", "training.parallel.data_parallel",
              "training.parallel.flat_values", "training.parallel.model_parallel",
              "training.parallel.parameter_server", "training.parallel.shards", "training.rank_group",
              "training.ring",
              "models.formats", "serving.decoding"},
    "psutil": {"engines.nodes.addresses", "training.ranks.network"},
    "pynvml": {"engines.nodes.devices"},
    "redis": {"serving.redis_stream"},
    "rich": {"commands.top.command", "commands.top.screen"},
    "safetensors": {"models.formats"},
    "scoop": {"engines.scoop.library"},
    "sklearn": {"commands.tutorial.graders.broken.small_input_only", "commands.tutorial.graders.data_parallel",
                "commands.tutorial.graders.grid_search", "data.callbacks", "cluster.joblib.error_score"},
    "skops": {"models.formats"},
    "tabulate": {"commands.info", "commands.jobs.listing", "commands.models", "commands.report.text",
                 "commands.scaling.text", "commands.tutorial.text"},
    "threadpoolctl": {"data.envelope", "training.checkpoints.surroundings"},
    "torch": {"training.checkpoints.values", "training.rank_group"},
    "tqdm": {"cluster.progress"},
    "xxhash": {"data.digests"},
    "zmq": {"engines.ipyparallel.client", "engines.ipyparallel.engine", "engines.ipyparallel.requests",
            "engines.mpi.link", "engines.nodes.curve"},
}  # fmt: skip

# Programs that run in a process of their own.
PROGRAMS = {"cluster.fleet.holder", "cluster.jobs.program", "commands.at_start.sitecustomize",
            "commands.doctor.probe", "commands.image_start", "commands.jupyter.server", "commands.torch.rank",
            "engines.ipyparallel.controller", "engines.ipyparallel.launcher", "engines.mpi.launcher",
            "engines.nodes.rank_holder", "engines.scoop.node"}  # fmt: skip
READS_ENVIRON = {"cluster.jobs.scheduler", "cluster.session", "commands.main", "data.process_state",
                 "training.ranks.environment", *PROGRAMS}  # fmt: skip


def own_imports(name):
    """Return the package's modules that module `name` imports, the most exact names only."""
    found = {target.removeprefix("hpcml.") for target in imported(MODULES[name]) if target.startswith("hpcml")}
    return {target for target in found if target in MODULES and target != name}


def folder(name):
    """Return the folder, or the module beside the folders, at the head of a name."""
    return name.split(".")[0]


def subfolder(name):
    """Return the subfolder of a module, or its folder where it is in none."""
    below = ".".join(name.split(".")[:2])
    return below if below in SUBFOLDERS else folder(name)


def test_every_module_is_in_a_folder_of_the_table():
    assert {folder(name) for name in MODULES} - TOP == set(FOLDERS)


def test_folders_import_earlier_folders_only():
    """A folder imports only folders before it in the table."""
    order = list(FOLDERS)
    for name, below in FOLDERS.items():
        assert all(order.index(one) < order.index(name) for one in below)


@pytest.mark.parametrize("name", sorted(set(MODULES) - TOP))
def test_imports_follow_the_tables(name):
    for target in own_imports(name):
        assert target not in TOP
        here, there = folder(name), folder(target)
        if here != there:
            assert there in FOLDERS[here], f"{name} imports {target}: {here} may import {FOLDERS[here]}"
        elif subfolder(name) in SUBFOLDERS and subfolder(target) != subfolder(name):
            here, there = subfolder(name), subfolder(target)
            assert there in SUBFOLDERS[here], f"{name} imports {target}"
        only = SHARED_MODULES.get((here, there))
        assert only is None or target.removeprefix(f"{there}.") in only, f"{name} imports {target}: only {only}"


def test_there_is_no_cycle():
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done:
            return
        path.append(name)
        for target in sorted(own_imports(name)):
            visit(target)
        done.add(path.pop())

    for name in sorted(set(MODULES) - TOP):
        visit(name)


def test_foreign_libraries_are_imported_by_few_modules():
    allowed = set(sys.stdlib_module_names) | {"hpcml"}
    for name, tree in MODULES.items():
        for target in imported(tree):
            library = target.split(".")[0]
            if library not in allowed:
                assert name in IMPORTERS.get(library, ()), f"{name} imports {target}"


@pytest.mark.parametrize("name", ["errors", "interpreter", *(one for one in MODULES if folder(one) == "slurm")])
def test_slurm_errors_and_interpreter_import_the_standard_library_only(name):
    if name in MODULES:
        libraries = {target.split(".")[0] for target in imported(MODULES[name])}
        assert libraries <= set(sys.stdlib_module_names) | {"hpcml"}


def test_the_environment_is_read_in_one_place():
    readers = {name for name, tree in MODULES.items() if "os.environ" in ast.unparse(tree)}
    assert readers == READS_ENVIRON


def test_import_hpcml_loads_no_engine_and_no_scikit_learn():
    heavy = ["ipyparallel", "mpi4py", "scoop", "deap", "sklearn", "submitit", "joblib", "zmq", "matplotlib"]
    code = f"import sys, hpcml; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_import_hpcml_has_no_effect():
    code = (
        "import signal, logging, threading\n"
        "before = [signal.getsignal(number) for number in signal.valid_signals()]\n"
        "import hpcml\n"
        "assert before == [signal.getsignal(number) for number in signal.valid_signals()]\n"
        "assert not logging.getLogger().handlers and not logging.getLogger('hpcml').handlers\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

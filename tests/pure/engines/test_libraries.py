"""Table of private interfaces: each is looked for, an error names the missing one, setup.cfg has the bounds."""

import ast
import configparser
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import hpcml
from hpcml import engines
from hpcml.cluster.joblib.library import NEXT, OLDEST
from hpcml.engines.libraries import SUPPORTED, USED, check_object, check_parts
from hpcml.errors import EngineError

ENGINES = Path(hpcml.__file__).parent / "engines"
PACKAGES = ("ipyparallel.client", "ipyparallel.controller", "ipyparallel.engine", "loky")
USERS = ("ipyparallel/client.py", "ipyparallel/controller.py", "ipyparallel/engine.py", "ipyparallel/requests.py",
         "ipyparallel/views.py", "local/executors.py")  # fmt: skip
PAIRS = [(path, name) for path, names in USED.items() for name in names]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_installed_libraries_have_all_parts(package):
    check_parts(package)


def test_each_part_belongs_to_a_package_that_is_checked():
    assert all(path.startswith(tuple(f"{package}." for package in PACKAGES)) for path in USED)


@pytest.mark.parametrize(("path", "name"), PAIRS)
def test_a_missing_name_is_an_error_that_says_what_to_type(path, name):
    library = path.partition(".")[0]
    lacking = SimpleNamespace(**dict.fromkeys({*USED[path]} - {name}))
    with pytest.raises(EngineError) as caught:
        check_object(path, lacking)
    version = importlib.metadata.version(library)
    assert str(caught.value) == (
        f"hpcml uses {path.replace(':', '.')}.{name} of {library} {SUPPORTED[library]}, which {library} {version} "
        f"of {sys.executable} lacks: type `{sys.executable} -m pip install '{library} {SUPPORTED[library]}'`"
    )


def test_a_missing_name_is_found_in_the_library_itself(monkeypatch):
    monkeypatch.delattr("ipyparallel.client.client.Client._send")
    with pytest.raises(EngineError, match=r"hpcml uses ipyparallel\.client\.client\.Client\._send of ipyparallel"):
        engines.import_library("ipyparallel")


def test_engine_local_is_not_loaded_with_another_loky(monkeypatch):
    monkeypatch.delattr("loky.process_executor._threads_wakeups")
    with pytest.raises(EngineError, match=r"hpcml uses loky\.process_executor\._threads_wakeups of loky"):
        engines.load("local")


@pytest.mark.parametrize("path", [path for path in USED if not path.endswith("()")])
def test_a_missing_module_or_class_is_an_error_too(path, monkeypatch):
    module, _, name = path.partition(":")
    if name:
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    else:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EngineError, match=re.escape(f"hpcml uses {path.replace(':', '.')} of ")):
        check_parts(next(package for package in PACKAGES if path.startswith(f"{package}.")))


def test_a_library_that_cannot_be_imported_says_so_itself(monkeypatch):
    """Of a dependency that is missing the error must not name another version of the library."""
    monkeypatch.delitem(sys.modules, "ipyparallel.engine.kernel", raising=False)
    monkeypatch.setitem(sys.modules, "ipykernel.ipkernel", None)
    with pytest.raises(ModuleNotFoundError, match=r"ipykernel\.ipkernel"):
        check_parts("ipyparallel.engine")


@pytest.mark.parametrize("user", USERS)
def test_no_private_name_is_used_that_is_not_in_the_table(user):
    tree = ast.parse((ENGINES / user).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own(node)}
    own |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    private = {name for name in used - own if name.startswith("_") and not name.startswith("__")}
    assert private <= {name for names in USED.values() for name in names} | {"_register_atexit"}  # CPython's


def is_own(node):
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


BOUNDS = {**SUPPORTED, "joblib": f">= {OLDEST}, < {NEXT}"}


@pytest.mark.parametrize("library", BOUNDS)
def test_setup_cfg_requires_the_versions_that_the_check_is_for(library):
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(Path(hpcml.__file__).parents[1] / "setup.cfg")
    assert f"{library} {BOUNDS[library]}" in setup["options"]["install_requires"].splitlines()
    lowest, highest = (tuple(map(int, part.split("."))) for part in re.findall(r"[\d.]+", BOUNDS[library]))
    assert lowest <= tuple(map(int, importlib.metadata.version(library).split("."))) < highest


def test_the_start_imports_nothing_beside_the_imports_of_the_script():
    code = "import sys; from hpcml import engines\n"
    code += "engines.load('ipyparallel'); engines.import_library('ipyparallel')\n"
    code += "before = set(sys.modules); import hpcml.engines.ipyparallel.workers; print({*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

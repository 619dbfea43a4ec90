"""Code that has changed between two sessions of a run: only the tasks that use it run again."""

import json
import os
import subprocess
import sys

# Each module of the user's has one number; each task returns a number, imported in a way of its own.
MODULES = {
    "from_file.py": "NUMBER = 1\ndef f(n):\n    return NUMBER + n\n",
    "singleton.py": "class Kind:\n    def __reduce__(self):\n        return 'ONE'\n"
    "    def get(self):\n        return 1\n\nONE = Kind()\n",
    "editable/src/edited/__init__.py": "",
    "editable/src/edited/late.py": "NUMBER = 1\n",
    "reach/__init__.py": "import importlib\ndef __getattr__(name):\n"
    "    if name.startswith('_'):\n        raise AttributeError(name)\n"
    "    return importlib.import_module(f'reach.{name}')\n",
    "reach/captured.py": "NUMBER = 1\n",
    "reach/given.py": "NUMBER = 1\n",
    "reach/held.py": "NUMBER = 1\n",
    "app/__init__.py": "",
    "app/helper.py": "def f(n):\n    return n + 1\n",
    "plugins/__init__.py": "",
    "plugins/one.py": "NUMBER = 1\n",
    "by_name.py": "NUMBER = 1\n",
    "stars/__init__.py": "__all__ = ['part']\n",
    "stars/part.py": "NUMBER = 1\n",
    "uses_stars.py": "from stars import *\ndef f(n):\n    return part.NUMBER + n\n",
    "sets/__init__.py": "import sys\nfrom sets import _impl\nsys.modules['sets.core'] = core = _impl\n",
    "sets/_impl.py": "NUMBER = 1\n",
    "uses_sets.py": "def f(n):\n    import sets.core\n    return sets.core.NUMBER + n\n",
    "hidden/late_path.py": "NUMBER = 1\n",
    "site-packages/mine/__init__.py": "from mine.inner import NUMBER\n",
    "site-packages/mine/inner.py": "NUMBER = 1\n",
    "site-packages/mine-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n",
    "site-packages/mine-1.0.dist-info/RECORD": "mine/__init__.py,,\nmine/inner.py,,\n",
    "site-packages/mine-1.0.dist-info/direct_url.json": '{"dir_info": {}, "url": "file:///home/me/mine"}',
    "site-packages/lib.py": "__version__ = '1.0'\nNUMBER = 1\n",
    "uses_lib.py": "import lib\ndef f(n):\n    return lib.NUMBER + n\n",
    "deco.py": "import functools\nclass scaled:\n    def __init__(self, f):\n"
    "        functools.update_wrapper(self, f); self.f, self.scale = f, 1\n"
    "    def __call__(self, x):\n        return self.f(x) * self.scale\n@scaled\ndef g(x):\n    return x + 1\n",
    "valued.py": "SCALE = 1\ndef f(n):\n    return SCALE * (n + 1)\n",
    "untouched.py": "NUMBER = 1\ndef f(n):\n    return NUMBER + n\n",
}
SCRIPT = r'''
import contextlib, dataclasses, functools, importlib, importlib.abc, importlib.util, json, os, pkgutil, sys, typing

sys.dont_write_bytecode = True  # files change within a second
here = os.getcwd()
sys.path += [os.path.join(here, "site-packages")]

import cloudpickle
import deco, singleton, untouched, uses_lib, uses_sets, uses_stars, valued


class Finder(importlib.abc.MetaPathFinder):
    """As setuptools makes it for a package that is installed to be edited."""

    def find_spec(self, name, path=None, target=None):
        root = os.path.join(here, "editable", "src", "edited")
        files = {"edited": os.path.join(root, "__init__.py"), "edited.late": os.path.join(root, "late.py")}
        if name in files:
            places = [root] if name == "edited" else None
            return importlib.util.spec_from_file_location(name, files[name], submodule_search_locations=places)


def add_finder():
    if not any(type(one).__name__ == "Finder" for one in sys.meta_path):
        sys.meta_path.append(Finder())


add_finder()
spec = importlib.util.spec_from_file_location("made_from_file", "from_file.py")
made = importlib.util.module_from_spec(spec)
spec.loader.exec_module(made)
cloudpickle.register_pickle_by_value(valued)
valued.SCALE = SCALE = 10


@dataclasses.dataclass
class Row:
    value: int = dataclasses.field(default=0, metadata={"unit": 1})


class Pair(typing.NamedTuple):
    a: int


def annotated(a: int): ...


def note(what):
    with open(os.path.join(here, "executed"), "a") as file:
        file.write(f"{what}\n")


def noted(name):
    def wrap(f):
        def g(n):
            note(name)
            return f(n)
        return g
    return wrap


def cases():
    import reach.captured, reach.given, reach.held

    captured = reach
    tasks = {
        "module from a file, as a global": noted("global")(lambda n: made.NUMBER + n),
        "module from a file, as an argument": functools.partial(lambda module, n: module.NUMBER + n, made),
        "module from a file, through its function": made.f,
        "class behind a global name": functools.partial(lambda one, n: one.get() + n, singleton.ONE),
        "editable": lambda n: (add_finder(), importlib.import_module("edited.late").NUMBER + n)[1],
        "submodule of a captured module": lambda n: captured.captured.NUMBER + n,
        "submodule of an argument": functools.partial(lambda pack, n: pack.given.NUMBER + n, reach),
        "submodule in a container": functools.partial(lambda held, n: held[0].held.NUMBER + n, [reach]),
        "relative import": relative(),
        "pkgutil": plugins,
        "importlib": lambda n: importlib.import_module("by_" + "name").NUMBER + n,
        "star": uses_stars.f,
        "init sets its submodule": uses_sets.f,
        "path that is set later": late_path,
        "installed from a directory": lambda n: importlib.import_module("mine").NUMBER + n,
        "version of a library": uses_lib.f,
        "field metadata": lambda n: dataclasses.fields(Row)[0].metadata["unit"] + n,
        "named tuple's types": lambda n: typing.get_type_hints(Pair)["a"].__name__,
        "annotation": lambda n: annotated.__annotations__["a"].__name__,
        "decorated": deco.g,
        "registered by value": valued.f,
        "untouched": noted("untouched")(untouched.f),
    }
    return tasks


def relative():
    space = {"__name__": "app.main", "__package__": "app"}
    exec("def f(n):\n    from .helper import f\n    return f(n)\n", space)
    f = space["f"]
    f.__module__ = "__main__"
    return f


def plugins(n):
    import plugins as package
    names = [one.name for one in pkgutil.iter_modules(package.__path__)]
    return sum(importlib.import_module(f"plugins.{name}").NUMBER for name in names) + n


def late_path(n):
    if os.path.join(here, "hidden") not in sys.path:
        sys.path.append(os.path.join(here, "hidden"))
    import late_path
    return late_path.NUMBER + n


def add(a, b):
    a += 1
    return float(b.sum())


def fill(grid):
    grid[0][0] = 1
    return sum(map(sum, grid))


def results(run):
    import numpy as np

    for name, task in cases().items():
        yield name, list(run(task, range(2)))
    grid = [[0] * 3] * 3
    yield "grid", list(run(fill, [grid]))
    a = np.zeros(3)
    yield "shared", list(run(add, [a.copy(), a], [a, a.copy()]))


with contextlib.ExitStack() as stack:
    if sys.argv[1] == "none":
        run = map
    else:
        import hpcml

        options = {"engine": sys.argv[1], "slots_per_node": 1, "progress": False}
        run = stack.enter_context(hpcml.Cluster(**options, resume=True)).map
    print(json.dumps(dict(results(run))))
'''
EDITS = {
    **{name: ("NUMBER = 1", "NUMBER = 7") for name, text in MODULES.items() if "NUMBER = 1" in text},
    "singleton.py": ("return 1", "return 7"),
    "app/helper.py": ("n + 1", "n + 7"),
    "deco.py": ("x + 1", "x + 7"),
    "valued.py": ("n + 1", "n + 7"),
    "site-packages/lib.py": ("'1.0'\nNUMBER = 1", "'2.0'\nNUMBER = 7"),
}
del EDITS["untouched.py"]
OF_SCRIPT = [
    ('{"unit": 1}', '{"unit": 7}'),
    ("    a: int\n", "    a: float\n"),
    ("def annotated(a: int)", "def annotated(a: float)"),
    ("grid = [[0] * 3] * 3", "grid = [[0] * 3 for _ in range(3)]"),
    ("[a.copy(), a], [a, a.copy()]", "[a, a], [a, a.copy()]"),
]

SCRIPT_SHOWS = {"field metadata", "named tuple's types", "annotation", "grid", "shared"}


def start(place, engine):
    (place / "executed").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "main.py", engine],
        cwd=place,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be recognised" not in done.stderr
    executed = place / "executed"
    return json.loads(done.stdout), executed.read_text().split("\n") if executed.exists() else []


def test_tasks_of_changed_code_run_again(tmp_path):
    for name, text in MODULES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "main.py").write_text(SCRIPT)
    before, _ = start(tmp_path, "none")
    first, executed = start(tmp_path, "local")
    assert first == before
    assert "untouched" in executed
    again, executed = start(tmp_path, "local")
    assert again == before
    assert executed == []
    script = SCRIPT
    for old, new in OF_SCRIPT:
        assert old in script
        script = script.replace(old, new)
    (tmp_path / "main.py").write_text(script)
    before, executed = check(tmp_path, before, SCRIPT_SHOWS)
    assert executed == []
    for name, (old, new) in EDITS.items():
        assert old in MODULES[name]
        (tmp_path / name).write_text(MODULES[name].replace(old, new))
    check(tmp_path, before, {*before} - SCRIPT_SHOWS - {"untouched"})


def check(place, before, changed):
    """Check that an edit changes these results, and that the resumed run returns them."""
    after, _ = start(place, "none")
    assert {name for name in after if after[name] != before[name]} == changed
    found, executed = start(place, "local")
    assert {name: (found[name], after[name]) for name in after if found[name] != after[name]} == {}
    return after, executed

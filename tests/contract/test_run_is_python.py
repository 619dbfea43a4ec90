"""`hpcml run` compared with `python`: equal output, errors, exit status and files of the same program."""

import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from engines import ENGINES

PYTHON = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "PYTHON"))}
SECONDS = 120  # 60 times the usual, for busy computers

# Path, arguments and stack of a program, down to the first frame.
LOOK = """
import os, sys, traceback
import __main__
print({name: str(value).split(" object at ")[0] for name, value in vars(__main__).items() if name[:2] == "__"})
print(sys.argv, sys.orig_argv, sys.path[0], sys.flags, sys.warnoptions, sys._xoptions, sys.flags.optimize)
print(sys.stdout.encoding, sys.stdout.line_buffering, sys.stdin.read(), sys.exc_info(), sys.getrecursionlimit())
print({name: value for name, value in os.environ.items() if name.startswith(("PYTHON", "HPCML"))})
print(sys.excepthook is sys.__excepthook__, [line.replace(sys.prefix, "") for line in traceback.format_stack()])
def depth(n=0):
    try:
        return depth(n + 1)
    except RecursionError:
        return n
print(depth(), __name__, globals() is vars(sys.modules["__main__"]))
class Thing: pass
import atexit, pickle
atexit.register(lambda: print(len(pickle.dumps(Thing())), globals() is vars(sys.modules["__main__"])))
"""

ORDER = """
import atexit, sys, threading, time
def late():
    threading.main_thread().join()
    print("a thread that outlives the main thread", sys.modules["__main__"].__dict__ is globals())
atexit.register(print, "registered first")
atexit.register(print, "registered last")
class Last:
    def __del__(self): print("a global's end")
last = Last()
threading.Thread(target=late).start()
threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
print("end of the script")
"""

HOOKS = """
import sys, threading
def hook(kind, error, trace): print("a hook", kind.__name__, error, trace.tb_frame.f_code.co_name, trace.tb_next)
def thread_hook(args): print("script's thread hook", args.exc_type.__name__, args.thread.name)
sys.excepthook, threading.excepthook = hook, thread_hook
thread = threading.Thread(target=lambda: {}["missing"], name="worker"); thread.start(); thread.join()
raise LookupError("lost")
"""

CHAINS = """
def f(n):
    try:
        return 1 / n
    except ZeroDivisionError as error:
        error.add_note("a note")
        raise ExceptionGroup("several", [error, ValueError("two"), ExceptionGroup("inner", [KeyError(3)])])
import threading
thread = threading.Thread(target=f, args=(0,), name="T"); thread.start(); thread.join()
try:
    f(0)
except* ValueError as group:
    raise RuntimeError("at last") from group
"""

CLOSED = """
import sys
print([stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)], file=sys.stdout or sys.stderr)
raise SystemExit("the end")
"""

EXITS = {
    "none": "raise SystemExit",
    "bool": "import sys; sys.exit(True)",
    "big": "import sys; sys.exit(256 + 7)",
    "negative": "import sys; print('out', end=''); sys.exit(-1)",
    "huge": "import sys; sys.exit(1 << 70)",
    "text": "import sys; sys.exit('no good \\u00fc')",
    "object": "import sys; sys.exit({'a': [1]})",
    "in a thread": "import sys, threading; t = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()",
    "at exit": "import atexit, sys; atexit.register(sys.exit, 5)\nimport atexit; atexit.register(lambda: 1 / 0)",
    "os._exit": "import os; print('not flushed'); os._exit(9)",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGKILL); signal.pause()",
    "recursion": "def f(n): return f(n + 1) + 1\nf(0)",
    "syntax": "x = 1\ndef broken(:\n    pass\n",
    "tabs": "if 1:\n        x = 1\n\ty = 2\n",
    "null": "x = 1\0",
    "latin": "# -*- coding: latin-1 -*-\nprint(ascii('\u00fc'))\n",
    "warns": "import warnings; warnings.warn('1'); warnings.warn('2', DeprecationWarning, stacklevel=3); 1 is 1",
    "hook fails": "import sys\ndef hook(*a): raise OSError('hook')\nsys.excepthook = hook\n1 / 0\n",
}


@dataclass
class Case:
    """Program: its files, Python's options, its arguments, and the streams and variables of its process."""

    words: list[str]
    files: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    shell: str = ""


SCRIPT = {"s.py": LOOK}
CASES = {
    "script": Case(["s.py", "a", "-m", "--quiet"], SCRIPT),
    "directory": Case(["folder", "-x"], {"folder/__main__.py": LOOK, "folder/near.py": ""}),
    "zip": Case(["app.zip"], {"app.zip": LOOK}),
    "module": Case(["-m", "pack.tool", "-c", "x"], {"pack/__init__.py": "print(__name__)", "pack/tool.py": LOOK}),
    "package": Case(["-m", "pack"], {"pack/__init__.py": "", "pack/__main__.py": LOOK}),
    "code": Case(["-c", LOOK, "--resume", "y"]),
    "input": Case(["-", "a"], {"input": LOOK}),
    "options": Case(["s.py"], SCRIPT, ["-O", "-W", "error::ImportWarning", "-X", "utf8", "-B", "-u"]),
    "combined": Case(["-c", LOOK], {}, ["-X", "dev", "-Wdefault", "-OO"], {"PYTHONHASHSEED": "3"}),
    "path": Case(["s.py"], {**SCRIPT, "lib/sitecustomize.py": "import builtins; builtins.print = lambda *a: a"},
                 variables={"PYTHONPATH": "lib", "PYTHONUNBUFFERED": "1"}),
    "order": Case(["s.py"], {"s.py": ORDER}),
    "hooks": Case(["s.py"], {"s.py": HOOKS}),
    "chains": Case(["-m", "mod"], {"mod.py": CHAINS}),
    "chains of code": Case(["-c", CHAINS]),
    "no stderr": Case(["s.py"], {"s.py": CLOSED}, shell="2>&-"),
    "no stdout": Case(["s.py"], {"s.py": CLOSED}, shell="1>&- 2>errors"),
    "no stdin": Case(["s.py"], {"s.py": CLOSED}, shell="0<&-"),
    "full disk": Case(["s.py"], {"s.py": "print('lost')"}, shell="1>/dev/full"),
    "no module": Case(["-m", "pack.nothing"], {"pack/__init__.py": "print('pack')"}),
    **{name: Case(["s.py"], {"s.py": text}) for name, text in EXITS.items()},
}  # fmt: skip


def start(case: Case, folder: Path, before: list[str]) -> subprocess.Popen[str]:
    for name, text in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("__main__.py", text)
        else:
            path.write_text(text, encoding="latin-1" if "latin" in text else "utf-8")
    command = [sys.executable, *case.options, *before, *case.words]
    if case.shell:
        command = ["sh", "-c", f'exec "$@" {case.shell}', "sh", *command]
    source = (folder / "input").open() if "input" in case.files else subprocess.PIPE
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**PYTHON, **case.variables},
        stdin=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    if source is not subprocess.PIPE:
        source.close()
    return process


def outcome(process: subprocess.Popen[str], folder: Path) -> dict[str, object]:
    """Return output, errors, status and files of a program, without the name of its folder."""
    output, errors = process.communicate(None if process.stdin is None else "typed", timeout=SECONDS)
    files = {
        str(path.relative_to(folder)): path.read_text(errors="replace")
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".hpcml"} & set(path.parts) and path.suffix != ".zip"
    }
    shutil.rmtree(folder)

    def plain(text: str) -> str:
        text = re.sub(r".*/loky/backend/resource_tracker.py.*\n  warnings.warn\(\n", "", text)  # after os._exit
        return re.sub(r"0x[0-9a-f]+", "0x", text.replace(str(folder), "FOLDER"))

    return {
        "status": process.returncode,
        "output": plain(output),
        "errors": plain(errors),
        "files": {name: plain(text) for name, text in files.items()},
    }


@pytest.mark.parametrize("name", CASES)
def test_a_program_behaves_as_with_python(name, tmp_path):
    case, run = CASES[name], ["-m", "hpcml", "run", "--quiet", "--engine=local", "--slots-per-node=2"]
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    processes = [start(case, folder, before) for folder, before in zip(folders, ([], run), strict=True)]
    expected, found = (outcome(*one) for one in zip(processes, folders, strict=True))
    assert found == expected


def test_python_itself_gives_the_expected_statuses_and_texts(tmp_path):
    """A few cases have the statuses and texts of Python's manual."""
    for name, status, message in (("big", 7, ""), ("negative", 255, ""), ("text", 1, "no good")):
        folder = tmp_path / name
        folder.mkdir()
        found = outcome(start(CASES[name], folder, []), folder)
        assert found["status"] == status
        assert message in str(found["errors"])


def test_ctrl_c_ends_a_program_as_with_python(tmp_path):
    """The traceback is python's; the exit status is a shell's for that signal, for salloc ignores signals."""
    script = "import os\ndef wait():\n    os.kill(os.getpid(), 2)\nwait()\n"
    found = []
    for name, before in (("one", []), ("two", ["-m", "hpcml", "run", "--quiet", "--engine=local"])):
        folder = tmp_path / name
        folder.mkdir()
        found.append(outcome(start(Case(["s.py"], {"s.py": script}), folder, before), folder))
    python, ours = found
    assert (python["status"], ours["status"]) == (-signal.SIGINT, 128 + signal.SIGINT)
    assert ours["errors"] == python["errors"]


@pytest.mark.parametrize("streams", ["2>&-", "0<&- 1>&- 2>&-"])
@pytest.mark.parametrize("engine", ENGINES)
def test_tasks_run_without_standard_streams(engine, streams, tmp_path):
    """The expected value comes from a loop, for loky itself fails."""
    script = tmp_path / "s.py"
    script.write_text(
        "from joblib import Parallel, delayed\n"
        "open('found', 'w').write(str(Parallel(n_jobs=2)(delayed(abs)(-n) for n in range(4))))\n"
    )
    command = [sys.executable, "-m", "hpcml", "run", f"--engine={engine}", "--slots-per-node=2", "s.py"]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", *command],
        cwd=tmp_path,
        env=PYTHON,
        check=False,
        timeout=SECONDS,
    )
    assert (tmp_path / "found").read_text() == "[0, 1, 2, 3]"
    assert done.returncode == 0


RESTARTED = """
import os, sys
print('lost')
def die_once(mark):
    if not os.path.exists(mark):
        open(mark, 'w').close()
        os._exit(3)
    return 'done'
if __name__ == '__main__':
    import hpcml
    print(hpcml.Cluster().submit(die_once, os.path.abspath('mark')).result(), file=sys.stderr)
"""


def test_a_worker_is_replaced_while_the_disk_of_the_output_is_full(tmp_path):
    """loky flushes the script's output before it starts a process, which fails there."""
    run = ["-m", "hpcml", "run", "--quiet", "--engine=local", "--slots-per-node=1"]
    case = Case(["s.py"], {"s.py": RESTARTED}, shell="1>/dev/full")
    found = outcome(start(case, tmp_path, run), tmp_path)
    assert found["errors"].startswith("done\n"), found
    assert found["status"] == 120

"""Programs written for SCOOP, run by `hpcml run`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scoop_tasks import halves

SCRIPTS = Path(__file__).with_name("scoop_scripts")
NO_SLURM = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
both = pytest.mark.parametrize("engine", ["local", "ipyparallel"])


def python(*argv, cwd):
    command = [sys.executable, *map(str, argv)]
    return subprocess.run(
        command,
        cwd=cwd,
        env=NO_SLURM,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
        stdin=subprocess.DEVNULL,
    )


def hpcml_run(engine, *argv, cwd):
    return python("-m", "hpcml", "run", "--engine", engine, "--slots-per-node=2", "--quiet", *argv, cwd=cwd)


@both
def test_every_function_of_scoop_works_in_a_script(engine, tmp_path):
    done = hpcml_run(engine, SCRIPTS / "everything.py", "three", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    found = json.loads(done.stdout)
    (served,) = found.pop("files")
    assert served.endswith(os.path.join("hpcml", "cluster", "scoop", "on_path", "scoop.py"))
    assert found == {
        "words": [[1 + 2 + 3 + 8 + 1 + 4, False], [2 + 5 + 5, False]],
        "depth": 2**5,
        "deep": 2**7,
        "caught": [3, ["6 is too much", "ValueError"]],
        "lambda": [10, 20, 30],
        "method": [0, 3, 6, 9],
        "constant": [1.5, 2.0],
        "reduce": halves([n * n for n in range(37)]),
        "scan": [1, 3, 3, 4, 15],  # SCOOP 0.7.2.0 prints this too
        "as completed": [0, 1, 8, 27],
        "map as completed": [1, 4, 9],
        "called": [0, 1, 8, 27],
        "waited": [4, 0],
        "places": 2,
        "elsewhere": True,
        "draws": 40,
        "sizes": [2],
    }


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    """Output of the DEAP program in one process, with the builtin map."""
    done = python(SCRIPTS / "evolution.py", "serial", cwd=tmp_path_factory.mktemp("serial"))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@both
def test_deap_programs_end_as_in_one_process(engine, evolved, tmp_path):
    done = hpcml_run(engine, SCRIPTS / "evolution.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == evolved


@both
def test_a_script_whose_task_fails_exits_with_1(engine, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from scoop import futures\n"
        "def invert(n):\n    return 1 / n\n"
        "if __name__ == '__main__':\n"
        "    results = futures.map(invert, [1, 0, 2])\n"
        "    print(next(results), flush=True)\n"
        "    print(list(results))\n"
    )
    done = hpcml_run(engine, script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "1.0\n")
    assert "RemoteTraceback" in done.stderr
    assert "in invert" in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_callbacks_run_without_a_wait(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from scoop import futures\nfutures.submit(pow, 2, 5).add_done_callback(lambda f: print(f.result()))\n"
    )
    done = hpcml_run("local", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "32\n"), done.stderr


def test_a_module_scoop_of_the_users_comes_first(tmp_path):
    (tmp_path / "scoop.py").write_text("flavour = 'vanilla'\n")
    script = tmp_path / "script.py"
    script.write_text("import scoop\nprint(scoop.flavour)\n")
    done = hpcml_run("local", script, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "vanilla\n"), done.stderr


def test_an_attribute_that_is_not_provided_is_named(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import scoop\nscoop.launcher\n")
    done = hpcml_run("local", script, cwd=tmp_path)
    assert done.returncode == 1
    assert "module 'scoop' has no attribute 'launcher' here: `hpcml run` serves" in done.stderr


def test_without_hpcml_run_scoop_is_the_installed_one(tmp_path):
    (tmp_path / "scoop.py").write_text("IS_RUNNING = False\n")  # stands for one that is installed
    script = tmp_path / "sub" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "import sys\nsys.path.append(sys.argv[1])\n"
        "import hpcml, scoop\nfrom hpcml.scoop_programs import futures\n"
        "if __name__ == '__main__':\n"
        "    with hpcml.Cluster('local', slots_per_node=2, progress=False):\n"
        "        print(list(futures.map(lambda n: (n, __import__('scoop').IS_RUNNING), [7])), scoop.IS_RUNNING)\n"
    )
    done = python(script, tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[(7, False)] False\n"), done.stderr


def test_a_resumed_program_runs_no_finished_task_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom scoop import futures, shared\n"
        "def count(n):\n    open('count', 'a').write('x')\n    return n * shared.getConst('factor')\n"
        "shared.setConst(factor=int(open('factor').read()))\n"
        "print(list(futures.map(count, range(5))), futures.submit(count, 9).result())\n"
    )
    for factor, slots, runs in (("3", 2, 6), ("3", 3, 6), ("4", 3, 12)):  # the number of slots may differ
        (tmp_path / "factor").write_text(factor)
        run = ("-m", "hpcml", "run", "--resume", "--quiet", "--engine=local", f"--slots-per-node={slots}", script)
        done = python(*run, cwd=tmp_path)
        n = int(factor)
        assert done.stdout == f"{[n * i for i in range(5)]} {9 * n}\n", done.stderr
        assert len((tmp_path / "count").read_text()) == runs

"""`hpcml run`, `hpcml info` and bad input at the command line."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from patience import patient, wait_until

import hpcml
from hpcml.errors import EngineError, HpcmlError

NO_SLURM = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}


def hpcml_command(*argv, cwd, **options):
    command = [sys.executable, "-m", "hpcml", *map(str, argv)]
    return subprocess.run(
        command, cwd=cwd, env=NO_SLURM, capture_output=True, text=True, check=False, timeout=patient(60), **options
    )


def write(tmp_path, text, name="script.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_run_makes_hpcml_the_default_and_passes_arguments(tmp_path):
    write(tmp_path, "FACTOR = 3\n", "my_module.py")
    script = write(
        tmp_path,
        "import sys, os, my_module\n"
        "from joblib import Parallel, delayed\n"
        "def triple(n):\n"
        "    return my_module.FACTOR * n, os.getpid()\n"
        "found = Parallel(n_jobs=-1)(delayed(triple)(n) for n in range(5))\n"
        "print(sys.argv[1:], __name__, [value for value, _ in found], os.getpid() in {pid for _, pid in found})\n",
    )
    done = hpcml_command("run", "--slots-per-node=2", script, "--option", "x y", cwd="/")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['--option', 'x y'] __main__ [0, 3, 6, 9, 12] False\n"
    assert "hpcml: engine local, 2 slots" in done.stderr
    assert "hpcml: 5 tasks on 2 slots of 1 host in" in done.stderr
    assert "5 of 5 tasks done (100 %)" in done.stderr


def test_a_cluster_inside_hpcml_run_is_the_same(tmp_path):
    script = write(
        tmp_path,
        "import hpcml\n"
        "with hpcml.Cluster() as inner:\n"
        "    print(inner.slots, inner.submit(pow, 2, 5).result())\n"
        "with hpcml.Cluster() as again:\n"
        "    print(again.submit(pow, 2, 6).result())\n",
    )
    done = hpcml_command("run", "--slots-per-node=3", script, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 32\n64\n"
    assert done.stderr.count("hpcml: engine") == 1
    assert done.stderr.count("core-hours used") == 1


def test_functions_of_a_script_without_a_main_guard(tmp_path):
    script = write(
        tmp_path,
        "import hpcml\nclass Box:\n    def __init__(self, n):\n        self.n = n\n"
        "def double(box):\n    return Box(2 * box.n)\n"
        "with hpcml.Cluster(slots_per_node=2) as cluster:\n"
        "    boxes = list(cluster.map(double, [Box(1), Box(2)]))\n"
        "print([box.n for box in boxes], all(type(box) is Box for box in boxes))\n",
    )
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=NO_SLURM,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == "[2, 4] True\n", done.stderr


def test_prints_carry_the_slots_name(tmp_path):
    script = write(
        tmp_path,
        "from joblib import Parallel, delayed\nimport warnings\n"
        "def speak(n):\n    print('one\\ntwo')\n    warnings.warn('mind', RuntimeWarning)\n"
        "Parallel(n_jobs=2)(delayed(speak)(n) for n in range(4))\n",
    )
    done = hpcml_command("run", "--slots-per-node=2", script, cwd=tmp_path)
    host = os.uname().nodename
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert {line.split(":")[0] for line in lines} == {f"[{host}"}
    assert sum(line.endswith("] two") for line in lines) == 4
    assert done.stderr.count("RuntimeWarning: mind") == 1


@pytest.mark.parametrize(
    ("body", "status", "seen"),
    [
        ("raise LookupError('lost')", 1, "LookupError: lost"),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('no good')", 1, "no good"),
        ("import sys; sys.exit()", 0, ""),
        ("def broken(:", 1, "SyntaxError"),
    ],
)
def test_the_exit_status_of_a_script_is_the_commands(tmp_path, body, status, seen):
    script = write(tmp_path, body + "\n")
    done = hpcml_command("run", "--slots-per-node=2", script, cwd=tmp_path)
    assert done.returncode == status, done.stderr
    assert seen in done.stderr
    assert "runpy" not in done.stderr
    if "Error" in seen:
        assert "Traceback" in done.stderr or "SyntaxError" in seen
        assert str(script) in done.stderr


def test_a_missing_script_is_an_error(tmp_path):
    done = hpcml_command("run", "nowhere.py", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"hpcml: there is no script nowhere.py in {tmp_path}: check its path\n"


def test_an_unknown_engine_lists_the_known(tmp_path):
    done = hpcml_command("run", "--engine=spark", write(tmp_path, ""), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "hpcml: there is no engine 'spark': choose one of local, ipyparallel, mpi, or 'auto'\n"


@pytest.mark.parametrize(("engine", "library"), [("local", "loky"), ("ipyparallel", "ipyparallel")])
def test_a_missing_library_is_named_with_the_command(tmp_path, monkeypatch, engine, library):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else found(name))
    with pytest.raises(EngineError, match=f"'{engine}' needs the library {library}.* -m pip install {library}"):
        hpcml.Cluster(engine, run_dir=tmp_path)


@pytest.mark.parametrize("option", ["slots_per_node", "cpus_per_slot", "min_slots", "retries"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2"])
def test_numbers_below_one_are_refused(option, value):
    with pytest.raises(ValueError, match=rf"Cluster\({option}={value!r}\): it must be a whole number, 1 or more"):
        hpcml.Cluster(**{option: value})


def test_a_bad_timeout_is_refused():
    with pytest.raises(ValueError, match=r"Cluster\(timeout=0\)"):
        hpcml.Cluster(timeout=0)


def test_a_run_dir_that_cannot_be_made_is_an_error(tmp_path):
    write(tmp_path, "", "file")
    with pytest.raises(HpcmlError, match=r"cannot be made.*Cluster\(run_dir=…\)"):
        hpcml.Cluster(run_dir=tmp_path / "file" / "below")
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(HpcmlError, match="is a link or belongs to another user"):
        hpcml.Cluster(run_dir=tmp_path / "link")


def test_the_run_dir_is_private(tmp_path):
    before = os.umask(0)
    try:
        with hpcml.Cluster("local", slots_per_node=1, run_dir=tmp_path / "runs", progress=False) as cluster:
            assert cluster.run_dir.stat().st_mode & 0o777 == 0o700
            assert cluster.run_dir.parent == tmp_path / "runs"
    finally:
        os.umask(before)


def test_ctrl_c_frees_the_workers_and_exits_130(tmp_path):
    script = write(
        tmp_path,
        "import time, os\nfrom joblib import Parallel, delayed\n"
        "def work(n):\n    open(f'{os.getpid()}.pid', 'w').close()\n    time.sleep(600)\n"
        "Parallel(n_jobs=2)(delayed(work)(n) for n in range(8))\n",
    )
    command = [sys.executable, "-m", "hpcml", "run", "--slots-per-node=2", str(script)]
    process = subprocess.Popen(command, cwd=tmp_path, env=NO_SLURM, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: len(list(tmp_path.glob("*.pid"))) == 2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=patient(20))
    assert process.returncode == 130, errors
    assert "hpcml: interrupted" in errors
    assert f'Traceback (most recent call last):\n  File "{script}", line 6, in <module>' in errors
    assert "KeyboardInterrupt" in errors
    wait_until(lambda: not [path for path in tmp_path.glob("*.pid") if os.path.exists(f"/proc/{path.stem}")], 5)


def test_a_driver_that_is_killed_leaves_no_worker(tmp_path):
    script = write(
        tmp_path,
        "import os, sys, time, hpcml\n"
        "cluster = hpcml.Cluster(sys.argv[1], slots_per_node=2, progress=False)\n"
        "print(*set(cluster.map(lambda n: time.sleep(0.2) or os.getpid(), range(8))), flush=True)\n"
        "[cluster.submit(time.sleep, 100) for n in range(4)]\n"
        "time.sleep(0.3)\n"
        "os.kill(os.getpid(), 9)\n",
    )
    for engine in ("local", "ipyparallel"):
        command = [sys.executable, str(script), engine]
        done = subprocess.run(
            command, cwd=tmp_path, env=NO_SLURM, capture_output=True, text=True, check=False, timeout=patient(60)
        )
        pids = done.stdout.split()
        assert len(pids) == 2, done.stderr
        end = time.monotonic() + 15
        while left := [pid for pid in pids if os.path.exists(f"/proc/{pid}")]:
            assert time.monotonic() < end, (engine, left)
            time.sleep(0.1)


def test_info_without_slurm_names_this_computer(tmp_path):
    done = hpcml_command("info", "--json", cwd=tmp_path)
    facts = json.loads(done.stdout)
    assert facts["slurm"] is False
    assert facts["slots"] == len(os.sched_getaffinity(0)) == facts["nodes"][0]["slots"]
    assert facts["nodes"][0]["name"] == os.uname().nodename
    table = hpcml_command("info", cwd=tmp_path).stdout
    assert os.uname().nodename in table
    assert "slots" in table


def test_info_lists_contradictions_of_the_environment(tmp_path):
    env = {**NO_SLURM, "SLURM_JOB_ID": "7", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_TASKS_PER_NODE": "2"}
    command = [sys.executable, "-m", "hpcml", "info"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=patient(30))
    assert done.returncode == 1
    assert "SLURM_TASKS_PER_NODE=2" in done.stderr
    assert "Traceback" not in done.stderr

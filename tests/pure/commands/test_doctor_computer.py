"""Facts about a computer and its directories, and the messages that carry them."""

import dataclasses
import json
import os
import subprocess
import sys

from hpcml.commands.doctor.computer import cgroup_limits, describe_computer, describe_place, file_system_type
from hpcml.commands.doctor.directories import look_at
from hpcml.commands.doctor.facts import Computer, NodeFacts
from hpcml.commands.doctor.messages import note
from hpcml.commands.doctor.trial import trial_directory


def test_a_computer_is_the_same_after_its_way_as_a_message():
    stages = []
    here = describe_computer(os.environ, stages.append)
    facts = NodeFacts()
    message = json.dumps({"computer": dataclasses.asdict(here)})
    note(facts, json.loads(message), 0.0, {"start": 0.0})
    assert facts.computer == here
    assert (here.cpus, here.name) == (len(os.sched_getaffinity(0)), os.uname().nodename)
    assert here.versions["numpy"]
    assert here.origins == {}
    assert "write to /dev/shm" in stages
    assert isinstance(facts.computer, Computer)


def test_a_library_that_another_copy_hides_is_found_with_its_file(tmp_path):
    (tmp_path / "pandas.py").write_text("")
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("")
    code = (
        "import os; from hpcml.commands.doctor.computer import describe_computer as d; "
        "print(*d(os.environ).origins.items(), sep='\\n')"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:/nowhere/else"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines() == [
        f"('pandas', '{tmp_path}/pandas.py')",
        f"('scikit-learn', '{tmp_path}/sklearn/__init__.py')",
    ]
    missing = describe_computer({"PYTHONPATH": f"{tmp_path}:/nowhere/else"}).missing
    assert missing == {"PYTHONPATH": "/nowhere/else"}
    assert describe_computer({"LD_PRELOAD": "libm.so.6 /gone.so"}).missing == {"LD_PRELOAD": "/gone.so"}


def test_a_place_that_cannot_be_used_has_the_reason():
    assert describe_place("/proc").error
    assert describe_place("/nowhere").error == "No such file or directory"


def test_the_type_of_a_file_system_is_that_of_the_innermost_and_last_mount():
    mounts = ["1 0 8:1 / / rw - ext4 a rw", "2 1 0:5 / /a\\040b rw - nfs4 b", "3 1 0:6 / /a\\040b rw - lustre c"]
    assert file_system_type("\n".join(mounts), "/a b/c") == "lustre"


def test_a_limit_of_any_cgroup_above_counts(tmp_path):
    job = tmp_path / "slurm" / "job_7"
    (job / "step_0").mkdir(parents=True)
    (job / "step_0" / "cpu.max").write_text("max 100000\n")
    (job / "step_0" / "memory.max").write_text("max\n")
    (job / "cpu.max").write_text("150000 100000\n")
    (job / "memory.max").write_text("4000000000\n")
    assert cgroup_limits("0::/slurm/job_7/step_0\n", tmp_path) == (1.5, 4_000_000_000)
    (tmp_path / "memory" / "job_8").mkdir(parents=True)
    (tmp_path / "memory" / "job_8" / "memory.limit_in_bytes").write_text("2000\n")
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert cgroup_limits("5:cpu:/job_8\n4:memory:/job_8\n0::/\n", tmp_path) == (None, 2000)


def test_a_trial_directory_is_private_shared_locked_and_gone_afterwards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with trial_directory() as trial:
        assert (trial.error, trial.lock_error) == ("", "")
        assert trial.path.stat().st_mode & 0o777 == 0o700
        seen = look_at({**trial.order, "trial": str(trial.path)})
        assert seen == {"directory": "", "trial": "shared", "lock": ""}
        (trial.path / "token").write_text("of another directory")
        assert look_at(trial.order)["trial"] == "another file"
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_not_held_is_reported_as_free(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with trial_directory() as trial, open(trial.path / "token") as file:
        (trial.path / "copy").write_text(file.read())
        (trial.path / "copy").rename(trial.path / "token")  # as a file system without locks: another file
        assert look_at(trial.order)["lock"] == "free"


def test_a_directory_that_this_node_has_not_is_named(tmp_path):
    order = {"directory": str(tmp_path / "gone"), "trial": str(tmp_path / "gone/x"), "token": "1"}
    assert look_at(order) == {"directory": "does not exist", "trial": "No such file or directory"}


def test_a_base_that_is_a_file_is_an_error_and_stays(tmp_path):
    base = tmp_path / "file"
    base.write_text("mine")
    with trial_directory(base=base) as trial:
        assert "cannot be made" in trial.error
    assert base.read_text() == "mine"

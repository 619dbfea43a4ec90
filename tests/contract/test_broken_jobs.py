"""Broken jobs on this computer: a fault is seen where the README says, and fails its check; mended jobs pass."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import patient

from hpcml.commands.tutorial.exercises import broken_jobs, tutorials
from hpcml.commands.tutorial.graders import broken, grader
from hpcml.commands.tutorial.running import TIME_LIMIT

CHECK_SECONDS = 60
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

FAILED = {
    1: {"end of job.sbatch": "exit status 1", "results": "No such file"},
    2: {"threads of a task": ""},
    3: {"end of job.sbatch": "exit status 1", "results": "No such file"},
    4: {"shares": "[0, 1, 2, 2]", "sum of all rows": "3.33258332e+11 in place of 3.33283335e+11"},
    5: {"end of job.sbatch": "exit status 1", "results": "No such file"},
    6: {"estimates of the tasks": "1", "error of the mean": "0.00000", "pi": "3.15440"},
    7: {"end of job.sbatch --broken": "exit status 0"},
    8: {"seeds of the tables": "", "rows of the tables": "[20]", "means of the tables": "1"},
    9: {"end of job.sbatch": TIME_LIMIT, "results": "No such file"},
    10: {"bytes that were sent": "28.9 MB"},
}
"""Checks that fail, and what they find."""

SIGNS = {
    1: ("No module named 'numpy'", "CalledProcessError  in simulate", "VIRTUAL_ENV="),
    2: ("", "the slots together had more CPUs than the allocation", ""),
    3: ("Unable to allocate 2.15 GiB", "MemoryError  in mean_distance", "address space 2 GB"),
    4: ("node 1, task 0: share 2 of 4", "4 tasks done", ""),
    5: ("before the current process has finished its bootstrapping phase", "no run has a journal", ""),
    6: ("estimate holds a generator of random numbers: each call gets a copy", "100 tasks done", ""),
    7: ("ValueError: recording 3 ends after 17", "5 tasks done of 6, 1 failed", ""),
    8: ("seed 1: 20 rows are in tables/table.csv", "20 tasks done", ""),
    9: ("SIGTERM: no further task starts", "tasks done of 24", ""),
    10: ("29 MB were sent for 40 tasks", "28.9 MB were sent with 40 tasks, 0.72 MB with each", ""),
}
"""Signs of the fault: in the output, in the report, and as a finding of the doctor in the job."""


def hpcml(place, *words):
    """Return the exit status and the output of a command that a student types; lines are not wrapped."""
    done = subprocess.run(
        [sys.executable, "-m", "hpcml", *map(str, words)],
        cwd=place,
        env={**os.environ, "PATH": PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=patient(CHECK_SECONDS),
        check=False,
    )
    return done.returncode, done.stdout


def failures(output):
    """Return the failed checks in the output of ``hpcml tutorial check``, and what each has found."""
    return dict(re.findall(r"^FAILED  (.+)\n.*expected.*\n +found +(.*)$", output, re.MULTILINE))


def copied(job, place):
    """Copy a broken job, with the right word for its fault."""
    shutil.copytree(tutorials() / job.folder, place, ignore=shutil.ignore_patterns("mended", "results", ".hpcml"))
    script = place / "script.py"
    word = sys.modules[grader(job.grader).grade.__module__].FAULT
    script.write_text(script.read_text().replace('FAULT = ""', f'FAULT = "{word}"'))
    return place


def report_of(place):
    """Return the report of the last run, or of each where ``hpcml report`` lists several."""
    _, text = hpcml(place, "report")
    listed = re.findall(r"^  hpcml report (.+)$", text, re.MULTILINE)
    return " ".join([text, *(hpcml(place, "report", run)[1] for run in listed)])


def doctor_in(place):
    """Return what ``hpcml doctor`` finds as a line before the last one of the job."""
    *lines, _ = (place / "job.sbatch").read_text().splitlines()
    (place / "doctor.sbatch").write_text("\n".join([*lines, "hpcml doctor"]))
    words = ["bash", "doctor.sbatch"]
    env = {**os.environ, "PATH": PATH}
    done = subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def one_line(text):
    """Return a text without its line ends, but keep columns apart as they are."""
    return re.sub(r"\s*\n\s*", " ", text)


@pytest.mark.parametrize("job", broken_jobs(), ids=lambda job: job.label)
def test_a_fault_is_seen_and_the_mended_job_passes(job, tmp_path):
    place = copied(job, tmp_path / "student")
    status, output = hpcml(place, "tutorial", "check", job.label)
    assert status == 1, output
    found = failures(output)
    assert found.keys() == FAILED[job.number].keys(), output
    assert all(text in found[name] for name, text in FAILED[job.number].items()), output
    in_output, in_report, in_doctor = SIGNS[job.number]
    assert in_output in one_line(output)
    assert in_report in one_line(report_of(place))
    assert in_doctor in one_line(doctor_in(place)) if in_doctor else True
    for file in (tutorials() / job.folder / "mended").glob("*.[ps][yb]*"):
        shutil.copy(file, place)
    status, output = hpcml(place, "tutorial", "check", job.label)
    assert (status, failures(output)) == (0, {}), output


@pytest.mark.parametrize("job", broken_jobs(), ids=lambda job: job.label)
def test_the_files_of_a_broken_job_are_all_there(job):
    folder = tutorials() / job.folder
    for name in ("README.rst", "script.py", "job.sbatch", "mended/README.rst", "mended/script.py"):
        assert (folder / name).is_file()
    script = (folder / "job.sbatch").read_text()
    assert len(script.splitlines()) <= 8
    assert "sleep" not in script
    assert 'FAULT = ""' in (folder / "script.py").read_text()
    word = sys.modules[grader(job.grader).grade.__module__].FAULT
    assert f'FAULT = "{word}"' in (folder / "mended/script.py").read_text()
    assert job.label in (folder / "README.rst").read_text()


def test_each_word_is_explained():
    text = (tutorials() / "broken/README.rst").read_text()
    assert re.findall(r"^``(\w+)``  ", text, re.MULTILINE) == list(broken.FAULTS)


def test_a_broken_job_is_copied_without_its_mended_files(tmp_path):
    status, output = hpcml(tmp_path, "tutorial", "start", "broken-1")
    assert (status, "hpcml tutorial check broken-01 01_works_by_hand" in output) == (0, True), output
    names = {path.name for path in (tmp_path / "01_works_by_hand").iterdir()}
    assert names == {"README.rst", "job.sbatch", "modules.sh", "script.py", "simulate.py"}
    status, output = hpcml(tmp_path, "tutorial", "list")
    assert all(f"{job.label}  {job.title}" in output for job in broken_jobs())


def test_a_job_that_does_not_end_is_ended_with_all_its_processes(tmp_path):
    (tmp_path / "job.sbatch").write_text("sleep 900 & echo $! > child; wait\n")
    status, output = hpcml(tmp_path, "tutorial", "check", "broken-05", "--timeout", "2")
    assert (status, "job.sbatch has not ended after 2 s: --timeout" in output) == (1, True), output
    child = int((tmp_path / "child").read_text())
    assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()

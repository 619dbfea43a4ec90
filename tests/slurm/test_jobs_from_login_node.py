"""Commands about jobs, ``hpcml submit`` to ``hpcml report``, on a login node outside any allocation."""

import json
import shlex

import pytest
from patience import wait_until

SCRIPT = """
import sys, time
from joblib import Parallel, delayed

def square(x):
    time.sleep(0.05)
    return x * x

print("sum", sum(Parallel(n_jobs=-1)(delayed(square)(x) for x in range(int(sys.argv[1])))), flush=True)
time.sleep(float(sys.argv[2]))
sys.exit(3)
"""
NAME = 'it\'s "my" $(touch owned)\n.py'


@pytest.fixture
def hpcml(cluster):
    """Function that runs ``hpcml`` with a home of its own, in which Slurm is asked once a second."""
    home = cluster.shared_dir / "home"
    (home / ".config").mkdir(parents=True)
    (home / ".config" / "hpcml.toml").write_text(
        'query_seconds = 1\n[sbatch]\npartition = "nowhere"\ntime = "5"\n'
    )

    def run(*words, status=0, cwd=None):
        env = {"HOME": str(home), "XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None}
        done = cluster.run([cluster.python, "-m", "hpcml", *words], env=env, cwd=cwd)
        assert status in (done.returncode, None), f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if status == 0 else done.stderr

    return run


def test_a_job_from_its_submission_to_its_report(cluster, hpcml):
    (cluster.shared_dir / NAME).write_text(SCRIPT)
    options = ["--partition", "main", "--nodes=2", "--ntasks-per-node", "2"]
    file = hpcml("submit", NAME, "30", "0", *options, "--dry-run").splitlines()
    assert file[1:6] == [
        '#SBATCH --job-name="it\'s \\"my\\" $(touch owned) "',
        "#SBATCH --partition=main",
        "#SBATCH --time=5",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=2",
    ]
    assert shlex.split("\n".join(file[6:]))[-4:] == ["run", NAME, "30", "0"]
    shown = hpcml("submit", NAME, "30", "0", *options)
    job = shown.split()[1]
    assert f"slurm-{job}.out" in shown
    assert "exit status 3" in hpcml("wait", job, status=3)
    assert f"sum {sum(x * x for x in range(30))}" in hpcml("logs", job)
    (facts,) = json.loads(hpcml("jobs", job, "--json"))
    assert facts["tasks"] == {"done": 30, "failed": 0, "expected": 30}
    assert (facts["state"], facts["exit_status"]) == ("FAILED", 3)
    assert "30 tasks done" in hpcml("report", job)
    assert not list(cluster.shared_dir.glob("owned"))


@pytest.mark.release("22.05")
def test_a_running_job_is_followed_and_cancelled(cluster, hpcml):
    cluster.write("long.py", SCRIPT)
    words = ["submit", "--parsable", "-n3", "-pmain", "long.py", "4", "600"]
    job, waiting = hpcml(*words).strip(), hpcml(*words, "--begin=now+600").strip()
    wait_until(lambda: "sum 14" in cluster.output(int(job)), what=lambda: hpcml("jobs"))
    listing = hpcml("jobs")
    assert "4 of 4" in listing
    assert "waiting for its begin time" in listing
    assert "RUNNING" in hpcml("wait", job, "--timeout=1", status=124)
    assert "no output yet" in hpcml("logs", waiting, status=1)
    hpcml("cancel", job, waiting)
    assert "sum 14" in hpcml("logs", "--follow", job)
    assert hpcml("wait", job, waiting, status=None).count("CANCELLED") == 2


@pytest.mark.release("24.11")
def test_what_the_slots_of_a_job_do_is_seen_from_any_node(cluster, hpcml):
    wait = SCRIPT.replace("time.sleep(0.05)", "time.sleep(0.05 if x < 4 else 600)")
    cluster.write("wait.py", wait)
    job = hpcml("submit", "--parsable", "-N3", "-pmain", "wait.py", "12", "0").strip()
    wait_until(lambda: list(cluster.shared_dir.glob(".hpcml/*/journal")))
    wait_until(lambda: "4 of 12 tasks done, 5 wait" in hpcml("top", job), what=lambda: hpcml("top", job))
    picture = hpcml("top", job)
    assert f"job {job}, driver on n1" in picture
    assert picture.count("square") == 3
    assert "3 of 3 slots on 3 hosts busy" in picture
    assert " left for tasks" in picture
    (run,) = cluster.shared_dir.glob(".hpcml/*/journal")
    there = ["srun", "--overlap", f"--jobid={job}", "-N1", "-n1", "-wn3", cluster.python, "-m", "hpcml", "top"]
    seen = cluster.run([*there, "--once", run.parent], check=True).stdout
    assert seen.count("square") == 3
    hpcml("cancel", job)
    assert hpcml("wait", job, status=None).count("CANCELLED") == 1
    assert "runs for" not in hpcml("top", job)


@pytest.mark.release("24.11")
def test_submissions_that_slurm_would_refuse_or_keep_waiting(cluster, hpcml):
    cluster.write("work.py", SCRIPT)
    submit = ["submit", "work.py"]
    assert "the partitions are main, high" in hpcml(*submit, status=1)  # the site's default is wrong here
    for words, message in [
        (["--nodes=9"], "main has 3 nodes, and the job asks for 9"),
        (["--mem=1T"], "main has no nodes of 1 CPU and 1048576 MB"),
        (["--gres=gpu:1"], "Invalid generic resource"),
        (["--constraint=fast"], "Invalid feature specification"),
        (["--ntask=3"], "did you mean --ntasks"),
    ]:
        assert message in hpcml(*submit, "-pmain", *words, status=1)
    script = cluster.shared_dir / "work.py"
    assert "other nodes do not see" in hpcml("submit", "-pmain", str(script), status=1, cwd="/tmp")
    assert "999" in hpcml("cancel", "999", status=1)
    assert "no job 999" in hpcml("wait", "999", status=1)
    assert not any(line.startswith("999 ") for line in hpcml("jobs").splitlines())

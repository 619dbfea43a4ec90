"""An element of a job array, which has the array's own id as its job id, goes back to the queue alone."""

import pytest
from patience import wait_until

# Each start is noted. Of the other elements one ends at once, and one runs until the requeued element runs again.
SCRIPT = """#!/bin/bash
echo "$SLURM_ARRAY_TASK_ID $SLURM_JOB_ID ${{SLURM_RESTART_COUNT:-0}}" >>starts
if [ "$SLURM_JOB_ID" = "$SLURM_ARRAY_JOB_ID" ]; then
    [ "${{SLURM_RESTART_COUNT:-0}}" = 0 ] || exec touch again
    exec {python} -m hpcml run --engine torch --requeue sleeper.py
fi
mkdir ended 2>/dev/null || until [ -e again ]; do sleep 0.5; done
"""

SLEEPER = """import os, time
print("in element", os.environ["SLURM_ARRAY_TASK_ID"], flush=True)
time.sleep(600)
"""


@pytest.mark.release("24.11")
def test_an_element_that_is_requeued_leaves_the_others_as_they_are(cluster):
    cluster.write("sleeper.py", SLEEPER)
    text = SCRIPT.format(python=cluster.python)
    job = cluster.sbatch(text, "--array=0-2", "-n1", "--requeue", "--open-mode=append", cwd=cluster.shared_dir)

    def starts():
        path = cluster.shared_dir / "starts"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def states():
        return sorted(cluster.job_fields(f"{job}_{task}").get("JobState", "") for task in range(3))

    output = cluster.shared_dir / f"slurm-{job}.out"
    wait_until(lambda: states() == ["COMPLETED", "RUNNING", "RUNNING"], what=states)
    wait_until(lambda: "in element" in output.read_text(), what=output.read_text)
    (own,) = [task for task, number, _ in starts() if number == str(job)]
    assert f"in element {own}\n" in output.read_text()
    cluster.run(["scancel", "--batch", "--signal=USR1", f"{job}_{own}"], check=True)
    wait_until(lambda: states() == ["COMPLETED"] * 3, 90, what=lambda: f"{states()}\n{output.read_text()}")
    assert sorted((task, restart) for task, _, restart in starts()) == sorted(
        [*((str(task), "0") for task in range(3)), (own, "1")]
    )
    assert f"hpcml: job {job}_{own} goes back to the queue" in output.read_text()

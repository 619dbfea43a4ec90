"""The school's original programs on three nodes, by their job files: results equal those of one process."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from original_programs import ORIGINAL, SCOOP, assert_clusters_of_one_process, assert_scores_of_one_process
from patience import patient

FIVE_SLOTS = ("-N3", "-n5", "--ntasks-per-node=2")
PATH = f"--export=ALL,PATH={Path(sys.executable).parent}:/usr/bin:/bin"
EVOLUTION = ("evolution_scoop.py", "3", "--generations", "25")
PI = ("--tasks", "40", "--tries", "20000")


@pytest.mark.release("24.11")
def test_the_original_programs_run_unchanged_on_three_nodes(cluster, tmp_path):
    place = shutil.copytree(ORIGINAL, cluster.shared_dir / "original")
    jobs = {
        words[0]: cluster.sbatch(ORIGINAL / "launcher.sbatch", PATH, *FIVE_SLOTS, cwd=place, args=words)
        for words in (("digits.py", "--quick", "-p", "job_1"), ("kmeans.py", "--quick"), EVOLUTION)
    }
    nine = ("-N3", "--ntasks-per-node=3")
    jobs["pi.py"] = cluster.sbatch(ORIGINAL / "pi.sbatch", PATH, *nine, cwd=place, args=PI)
    for words in (EVOLUTION, ("pi.py", *PI)):
        subprocess.run([*SCOOP, ORIGINAL / words[0], *words[1:]], cwd=tmp_path, check=True, timeout=patient(60))
    outputs = {}
    for name, job in jobs.items():
        ended = cluster.wait(job, timeout=150)
        assert ended.state == "COMPLETED", (name, ended.output)
        outputs[name] = ended.output
    accuracy = assert_scores_of_one_process(place)
    assert f"accuracy {accuracy:.3f} on new digits" in outputs["digits.py"]
    assert assert_clusters_of_one_process(place) == {"n1", "n2", "n3"}
    assert all("5 slots on n1, n2, n3" in outputs[name] for name in ("digits.py", "kmeans.py", EVOLUTION[0]))
    found, alone = (
        json.loads((where / f"solutions_c3_n{workers}.json").read_text())
        for where, workers in ((place, 5), (tmp_path, 1))
    )
    assert (found["solution"], found["fit"]) == (alone["solution"], alone["fit"])
    inside = json.loads((tmp_path / "pi_1.json").read_text())["inside"]
    for workers in (1, 2, 4, 8):
        assert json.loads((place / f"pi_{workers}.json").read_text())["inside"] == inside
    assert [line.split()[0] for line in outputs["pi.py"].splitlines() if "efficiency" in line] == list("1248")
    assert (place / "pi_plot.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["launcher.sbatch", "pi.sbatch"])
def test_their_job_files_are_short_and_wait_for_nothing(name):
    text = (ORIGINAL / name).read_text()
    assert len(text.splitlines()) <= 8
    assert "sleep" not in text
    assert "host" not in text

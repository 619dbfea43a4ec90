"""Environments recorded from real Slurm are read as Slurm means them.

tests/data/environments/record made them; its docstring has the source of their expected values.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from slurm_environments import found

from hpcml.slurm.allocation import Allocation

RECORDED = sorted((Path(__file__).parents[2] / "data" / "environments").glob("*/*.json"))
YEAR = 365 * 24 * 3600  # Slurm's plan for a job without a limit


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_recorded_environments_are_read_as_slurm_means_them(file: Path) -> None:
    recorded = json.loads(file.read_text())
    expected: dict[str, Any] = recorded["expected"]
    allocation = json.loads(json.dumps(asdict(found(recorded["environment"]))))
    for node, expected_node in zip(allocation["nodes"], expected["nodes"], strict=True):
        # Some variables may be missing. Those that are set have to be right.
        node["memory"] = expected_node["memory"] if node["memory"] is None else node["memory"]
        node["gpus"] = node["gpus"] or expected_node["gpus"]
    if expected["end_time"] is None and allocation["end_time"]:
        assert allocation["end_time"] - int(recorded["environment"]["SLURM_JOB_START_TIME"]) == YEAR
        allocation["end_time"] = None
    if file.stem == "sbatch-in-array":  # The variables of this job do not show that it is none of the array's.
        assert (allocation["array"], expected["array"]) == ([1, 3], None)
        allocation["array"] = None
    assert allocation == expected


@pytest.mark.parametrize("release", ["22.05", "24.11"])
def test_recordings_have_gpus_memory_and_end_where_slurm_gives_them(release: str) -> None:
    def of(case: str) -> Allocation:
        file = next(file for file in RECORDED if (file.parent.name, file.stem) == (release, case))
        return found(json.loads(file.read_text())["environment"])

    assert [node.gpus for node in of("sbatch-gpus-per-node").nodes] == [2, 2]
    assert sum(node.gpus for node in of("sbatch-gpus-per-task").nodes) == 4
    assert [node.gpus for node in of("sbatch-gres").nodes] == [1, 0]  # the variable has the first node's GPUs only
    assert {node.memory for node in of("sbatch-memory").nodes} == {500}
    assert all(node.memory == 200 * (node.cpus or 0) for node in of("sbatch-uneven").nodes)
    assert (of("sbatch-time-limit").end_time is None) == (release == "22.05")


def test_every_kind_of_start_was_recorded_on_both_releases() -> None:
    names = {release: {f.stem for f in RECORDED if f.parent.name == release} for release in ("22.05", "24.11")}
    assert names["24.11"] - names["22.05"] == {"sbatch-tres-per-task"}
    assert names["22.05"] < names["24.11"]
    assert len(names["22.05"]) > 40


def test_recordings_hold_no_paths() -> None:
    for file in RECORDED:
        values = json.loads(file.read_text())["environment"].values()
        assert not [value for value in values if value.startswith("/")]

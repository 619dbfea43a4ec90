"""GPUs of a job, as `scontrol` of two releases prints them; and their division among the slots of a node."""

import pytest

from hpcml.slurm.gpu_masks import count_gpus, share_of_slot, slot_masks
from hpcml.slurm.gpus import parse_job_gpus

# Printed by 22.05.8 and 24.11.5, by the options of the job; beside them, what a plain step got on a node.
RECORDS = {
    "--gres=gpu:4, each step has 4": """JobId=1 Features=(null) JOB_GRES=gpu:fast:4,gpu:slow:4
     Nodes=n[1-2] CPU_IDs=0-1 Mem=400 GRES=gpu:fast:2(IDX:0-1),gpu:slow:2(IDX:2-3) MinCPUsNode=2
   TresPerNode=gres:gpu:4""",
    "--gpus=6, refused": """JobId=4 JOB_GRES=gpu:fast:4,gpu:slow:2
     Nodes=n1 CPU_IDs=0-1 Mem=400 GRES=gpu:fast:2(IDX:0-1),gpu:slow:2(IDX:2-3)
     Nodes=n2 CPU_IDs=0-1 Mem=400 GRES=gpu:fast:2(IDX:0-1),gpu:slow:0(IDX:) TresPerJob=gres:gpu:6""",
    "--gpus-per-task=1, 1 each": """JobId=4 JOB_GRES=gpu:fast:4
     Nodes=n[1-2] CPU_IDs=0-1 Mem=400 GRES=gpu:fast:2(IDX:0-1) TresPerTask=cpu=1,gres/gpu=1""",
    "--gpus=5 without types, refused": """JobId=2 JOB_GRES=gpu:5
     Nodes=n1 CPU_IDs=0-1 Mem=400 GRES=gpu:4(IDX:0-3) Nodes=n2 CPU_IDs=0-1 Mem=400 GRES=gpu:1(IDX:0)""",
    "no GPUs": "JobId=5 Nodes=n[1-2] CPU_IDs=0 Mem=200 GRES= MinCPUsNode=1",
}
FOUND = {
    "--gres=gpu:4, each step has 4": ("2 fast (0-1), 2 slow (2-3)", "2 fast (0-1), 2 slow (2-3)", ()),
    "--gpus=6, refused": ("2 fast (0-1), 2 slow (2-3)", "2 fast (0-1)", ("--gres=gpu:2",)),
    "--gpus-per-task=1, 1 each": ("2 fast (0-1)", "2 fast (0-1)", ("--gres=gpu:2",)),
    "--gpus=5 without types, refused": ("4 (0-3)", "1 (0)", ("--gres=gpu:1",)),
    "no GPUs": ("", "", ()),
}


@pytest.mark.parametrize("name", RECORDS)
def test_the_record_of_a_job_has_types_and_indexes(name):
    gpus = parse_job_gpus(" ".join(RECORDS[name].split()))  # as with --oneliner
    assert (gpus.describe("n1"), gpus.describe("n2"), gpus.step_options(["n1", "n2"])) == FOUND[name]
    assert gpus.step_options(["n2"]) == FOUND[name][2]  # 22.05 refuses more in a step of one node, too


def test_components_of_a_job_are_asked_for_by_themselves():
    lines = [RECORDS[name].replace("\n", " ") for name in ("--gpus=6, refused", "no GPUs")]
    gpus = parse_job_gpus("\n".join((lines[0], lines[1].replace("n[1-2]", "n[3-4]"))))
    assert gpus.step_options(["n1", "n2"]) == ("--gres=gpu:2",)
    assert gpus.step_options(["n3", "n4"]) == ()


def test_other_generic_resources_and_odd_types_are_told_apart():
    gres = "mps:a100:200(IDX:0-1),gpu:1g.5gb:2(IDX:0,3),gpu:3(CNT:3),shard:gpu:4(1/2),craynetwork:4"
    gpus = parse_job_gpus(f"Nodes=n[08-09],x CPU_IDs=0 Mem=0 GRES={gres}")
    assert [gpus.count(node) for node in ("n08", "n09", "x", "n10")] == [5, 5, 5, 0]
    assert gpus.describe("x") == "2 1g.5gb (0,3), 3 (3)"


def test_each_slot_has_a_gpu_or_several():
    assert [share_of_slot("abc", slot, 3) for slot in range(3)] == [("a",), ("b",), ("c",)]
    assert [len(share_of_slot("abcde", slot, 2)) for slot in range(2)] == [2, 3]
    assert share_of_slot((), 0, 2) == ()


@pytest.mark.parametrize("text", ["", "NoDevFiles", "-1"])
def test_a_variable_that_names_no_gpu_stays_as_it_is(text):
    assert slot_masks({"CUDA_VISIBLE_DEVICES": text}, 0, 2, {}) == {}
    assert count_gpus({"CUDA_VISIBLE_DEVICES": text}, {}) == 0


def test_variables_that_are_not_set_are_left_so():
    assert slot_masks({"HOME": "/root"}, 0, 1, {"0": ["GPU-a"]}) == {}
    assert slot_masks({"ZE_AFFINITY_MASK": "0.0,0.1"}, 1, 2, {}) == {"ZE_AFFINITY_MASK": "0.1"}


def test_cuda_is_told_uuids_and_instances_each_a_gpu_of_its_own():
    names = {"0": ["GPU-a"], "1": ["MIG-b", "MIG-c"]}
    environment = {"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
    found = [slot_masks(environment, slot, 3, names) for slot in range(3)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["GPU-a", "MIG-b", "MIG-c"]
    assert {one["CUDA_DEVICE_ORDER"] for one in found} == {"FASTEST_FIRST"}  # the user's
    assert count_gpus(environment, names) == 3
    already = {"CUDA_VISIBLE_DEVICES": "MIG-c,GPU-a"}
    assert slot_masks(already, 0, 2, names)["CUDA_VISIBLE_DEVICES"] == "MIG-c"


def test_amd_numbers_what_its_driver_leaves():
    environment = dict.fromkeys(("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"), "0,1,2,3")
    found = slot_masks(environment, 1, 2, {}, is_amd=True)
    assert [found[name] for name in environment] == ["2,3", "0,1", "0,1"]
    assert slot_masks(environment, 1, 2, {})["CUDA_VISIBLE_DEVICES"] == "2,3"

"""Detection and hostlists, compared with Slurm itself."""

import json
import random

import pytest
from cluster_session import ClusterSession

from hpcml.slurm.hostlist import compress, expand

DETECT = """import dataclasses, json, os
from hpcml.slurm.allocation import detect
print("found", json.dumps(dataclasses.asdict(detect(os.environ))))"""


def detected(cluster: ClusterSession, *options: str, launch: str = "") -> list[dict]:
    """Return the result of detect in a batch job, and the tasks that an srun starts on each node."""
    program = cluster.write("detect.py", DETECT)
    job = cluster.sbatch(f"{launch} {cluster.python} {program}\n", *options)
    end = cluster.wait(job)
    assert end.state == "COMPLETED", end.output
    lines = [line.removeprefix("found ") for line in end.output.splitlines() if line.startswith("found ")]
    found = [json.loads(line) for line in lines]
    assert {allocation["job_id"] for allocation in found} == {job}
    return found


@pytest.mark.parametrize(
    ("options", "cpus_per_slot"),
    [("-n4", 1), ("-N3 -n7", 1), ("-N2 --ntasks-per-node=2 -c2", 2), ("-N3", 1)],
)
def test_a_batch_script_finds_the_nodes_of_scontrol(cluster, options, cpus_per_slot):
    (allocation,) = detected(cluster, *options.split())
    job = cluster.job_fields(allocation["job_id"])
    hosts = cluster.run(["scontrol", "show", "hostnames", job["NodeList"]], check=True).stdout.split()
    assert [node["name"] for node in allocation["nodes"]] == hosts
    assert {node["cpus_per_slot"] for node in allocation["nodes"]} == {cpus_per_slot}
    assert sum(node["cpus"] for node in allocation["nodes"]) == int(job["NumCPUs"])
    assert sum(node["slots"] for node in allocation["nodes"]) == int(job["NumTasks"])
    assert (allocation["where"], allocation["launch_node"]) == ("batch", job["BatchHost"])


def test_each_task_of_a_step_finds_the_step(cluster):
    found = detected(cluster, "-N3", "-n7", launch="srun -N2 -n3")
    assert sorted(allocation["task_rank"] for allocation in found) == [0, 1, 2]
    started = [allocation["launch_node"] for allocation in found]
    for allocation in found:
        assert (allocation["where"], allocation["task_count"], allocation["step_id"]) == ("step", 3, 0)
        assert {node["name"]: node["slots"] for node in allocation["nodes"]} == {
            host: started.count(host) for host in set(started)
        }


# -- hostlists -------------------------------------------------------------------------------------------------
def a_bracket(chance: random.Random) -> str:
    parts = []
    for _ in range(chance.randint(1, 3)):
        first = chance.randint(0, 120)
        width = chance.choice([1, 1, 2, 3, 4])
        last = f"-{first + chance.randint(0, 6):0{chance.choice([1, width])}d}" if chance.random() < 0.6 else ""
        parts.append(f"{first:0{width}d}{last}")
    return f"[{','.join(parts)}]"


def an_item(chance: random.Random, suffixes: bool) -> str:
    """A name with up to three brackets, and maybe a word after the last of them, which 22.05 refuses."""
    words = ["n", "rack", "gpu-", "a1b", "x.y_", "9", "node0"]
    item = chance.choice(words)
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        joined = chance.random() < 0.3  # without a word before the next bracket
        item += a_bracket(chance) if joined or not item.endswith("]") else chance.choice(words) + a_bracket(chance)
    return item + chance.choice(["", "", "-ib", ".site", "7"]) if suffixes else item


def hostnames(cluster: ClusterSession, texts: list[str]) -> list[list[str]]:
    """Return the names of `scontrol show hostnames` for each text; a call has many, with "=" after each."""
    answers = []
    for start in range(0, len(texts), 200):
        joined = "".join(f"{text},=," for text in texts[start : start + 200])
        printed = cluster.run(["scontrol", "show", "hostnames", joined], check=True).stdout
        answers += [answer.split() for answer in printed.split("=\n")[:-1]]
    return answers


def test_ten_thousand_hostlists_expand_as_scontrol_expands_them(cluster, release):
    chance = random.Random(1)
    lists = [[an_item(chance, release != "22.05") for _ in range(chance.randint(1, 4))] for _ in range(10_000)]
    texts = [",".join(items) for items in lists]
    answers = hostnames(cluster, texts)
    assert len(answers) == len(texts)
    differing = [text for text, names in zip(texts, answers, strict=True) if list(expand(text)) != names]
    assert not differing, differing[:5]


def test_scontrol_expands_compressed_lists(cluster):
    chance = random.Random(2)
    lists = [[f"{chance.choice('ab')}{chance.randint(0, 30):0{chance.choice([1, 2])}d}" for _ in range(20)]
             for _ in range(1_000)]
    assert hostnames(cluster, [compress(names) for names in lists]) == lists

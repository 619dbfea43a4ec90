"""Requests that no node can fill."""

import pytest

from hpcml.slurm.jobs.partitions import parse_partitions, unmet_request

SINFO = """main*|up|1:00:00|2|4|4000|(null)|1-infinite
main*|up|1:00:00|1|16|64000+|gpu:2|1-infinite
long|up|infinite|3|4|4000|(null)|1-infinite
"""
PARTITIONS = parse_partitions(SINFO)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": "3"}, ""),
        ({"nodes": "2-9", "ntasks-per-node": "4"}, ""),
        ({"nodes": "4"}, "main has 3 nodes, and the job asks for 4"),
        ({"nodes": "2", "cpus-per-task": "8"}, "main has 1 node of 8 CPUs, and the job asks for 2"),
        ({"mem": "64G", "partition": "long"}, "long has no nodes of 1 CPU and 65536 MB"),
        ({"ntasks": "25"}, "main has 24 CPUs, and the job's tasks ask for 25"),
        ({"time": "2:00:00"}, "main allows 60 minutes, and the job asks for 120"),
        ({"time": "2:00:00", "partition": "main,long"}, ""),
        ({"nodes": "9", "partition": "elsewhere"}, ""),  # Slurm knows better
        ({"nodes": "n", "mem": "all", "time": "soon"}, ""),
    ],
)
def test_limits(options, message):
    found = unmet_request(options, PARTITIONS)
    assert found == message if not message else message in found

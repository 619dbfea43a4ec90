"""Forks of a program that ends: they end with it, also where it ends while they begin."""

import os
import subprocess
import sys

import pytest
from patience import patient, wait_until

PROGRAM = """
import os, sys, time
os.register_at_fork(after_in_child=lambda: time.sleep(float(sys.argv[1])))  # the fork begins slowly
from hpcml.engines.nodes.forked import end_forks_with_parent
end_forks_with_parent()
child = os.fork()
if child:
    print(child, flush=True)
    time.sleep(float(sys.argv[2]))
    os._exit(0)
time.sleep(600)
"""


@pytest.mark.parametrize(("begin", "end"), [(0, 1), (1, 0)], ids=["after the beginning", "during the beginning"])
def test_a_fork_ends_with_its_parent(begin, end):
    command = [sys.executable, "-c", PROGRAM, str(begin), str(end)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, timeout=patient(30), stderr=subprocess.DEVNULL
    )
    child = f"/proc/{int(done.stdout)}"
    wait_until(lambda: not os.path.exists(child), 20)

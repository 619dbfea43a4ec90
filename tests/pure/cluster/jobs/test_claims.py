"""Claims of elements on the calls of their array."""

import subprocess
import sys

from hpcml.cluster.jobs.claims import Claims

PROGRAM = """
import sys
from pathlib import Path
from hpcml.cluster.jobs.claims import Claims
claims = Claims(Path(sys.argv[1]), 300)
sys.stdin.read()
while claims.take(7, sys.argv[2], "5_" + sys.argv[2]):
    pass
"""


def test_each_call_has_one_owner_however_many_claim_at_once(tmp_path):
    words = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    elements = [subprocess.Popen([*words, str(number)], stdin=subprocess.PIPE) for number in range(3)]
    for element in elements:
        element.stdin.close()  # all begin at once
    assert [element.wait(60) for element in elements] == [0, 0, 0]
    claims = Claims(tmp_path, 300).read()
    assert [number for claim in claims for number in range(claim.start, claim.stop)] == list(range(300))
    assert {claim.owner for claim in claims} <= {"0", "1", "2"}
    assert len(list(tmp_path.iterdir())) == len(claims) == 43  # no temporary file is left


def test_a_late_element_finds_nothing(tmp_path):
    assert Claims(tmp_path, 4).take(9, "71", "70_0")[:2] == (0, 4)
    assert Claims(tmp_path, 4).take(1, "72", "70_1") is None

"""Refusals of Slurm that say that too many jobs are in the queue; other refusals are errors at once."""

import pytest

from hpcml.cluster.jobs.array_source import is_limit
from hpcml.errors import SubmissionError


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("QOSMaxSubmitJobPerUserLimit; Job violates accounting/QOS policy (job submit limit, user's size)", True),
        ("AssocGrpSubmitJobsLimit", True),
        ("Invalid partition name specified; the partitions are main", False),
        ("Requested node configuration is not available", False),
        ("AssocMaxNodePerJobLimit", False),
    ],
)
def test_limits_are_told_from_other_refusals(said, expected):
    assert is_limit(SubmissionError(f"Slurm has refused the job: {said}")) is expected

"""Submissions that are refused before Slurm is asked."""

from pathlib import Path

import pytest

from hpcml.errors import SubmissionError
from hpcml.slurm.jobs.script import JobScript
from hpcml.slurm.jobs.submission import check_directory, submit_job


def test_without_slurm_the_message_says_where_to_type():
    with pytest.raises(SubmissionError, match="no Slurm.*login node"):
        submit_job(JobScript({}, ("true",)), {"PATH": "/nowhere"}, Path.cwd())


def test_directories_of_one_computer_are_refused(tmp_path):
    with pytest.raises(SubmissionError, match="other nodes do not see.*--chdir"):
        check_directory(Path("/dev/shm"))
    check_directory(Path("/dev/shm"), is_shared=True)
    with pytest.raises(SubmissionError, match="cannot be written to"):
        check_directory(tmp_path / "gone")

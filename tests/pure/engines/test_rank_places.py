"""Places of ranks: held by programs that MPI's launcher would have started, taken by another process."""

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from patience import patient, wait_until

from hpcml.engines import communicator
from hpcml.engines.nodes import rank_holder
from hpcml.engines.nodes.rank_places import RankPlaces
from hpcml.errors import HpcmlError

SOURCE = Path(rank_holder.__file__).read_text()


@contextlib.contextmanager
def holding(meeting, *environments, inherit=()):
    """Start a holder with each environment; all must end by themselves."""
    command = [sys.executable, "-I", "-S", "-c", SOURCE, meeting]
    holders = [subprocess.Popen(command, env=environment, pass_fds=inherit) for environment in environments]
    try:
        yield holders
        for holder in holders:
            assert holder.wait(patient(30)) == 1
    finally:
        for holder in holders:
            holder.kill()
            holder.wait()


def test_places_come_in_the_order_of_ranks(tmp_path):
    meeting = f"hpcml-test-{uuid.uuid4().hex}"
    environments = [{"PMIX_RANK": str(rank), "SLURM_PROCID": "0", "WORD": f"of {rank}"} for rank in (7, 5, 6)]
    with holding(meeting, *environments):
        places = RankPlaces(meeting, 3, str(tmp_path))
        wait_until(places.look)
        assert places.watched == []
        assert [(place.rank, place.variables["WORD"]) for place in places.places] == [
            (5, "of 5"), (6, "of 6"), (7, "of 7"),
        ]  # fmt: skip
        assert [place.descriptor for place in places.places] == [-1] * 3
        places.close()


def test_an_open_connection_comes_with_its_place(tmp_path):
    meeting = f"hpcml-test-{uuid.uuid4().hex}"
    reader, writer = os.pipe()
    with holding(meeting, {"PMI_RANK": "0", "PMI_FD": str(writer)}, inherit=[writer]):
        os.close(writer)
        places = RankPlaces(meeting, 1, str(tmp_path))
        wait_until(places.look)
        os.write(places.places[0].descriptor, b"from the taker")
        assert os.read(reader, 100) == b"from the taker"
        places.close()
    assert os.read(reader, 100) == b""  # nobody has the connection any more
    os.close(reader)


def test_files_that_ranks_have_noted_are_removed(tmp_path):
    left = tmp_path / "mpich_shm_0"
    left.write_text("left by a rank that was killed")
    (tmp_path / "0.shared").write_text(str(left))
    RankPlaces("", 0, str(tmp_path)).close()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_is_no_rank_refuses_a_function():
    with pytest.raises(HpcmlError, match="this worker is no rank of MPI"):
        communicator.run_on_rank(print, 0, ())

"""``hpcml jupyter``: its job file, the place of its token, and the lines for the user's own computer."""

import json
import stat
from pathlib import Path

import pytest

from hpcml.commands.jupyter.command import access_lines, job_script
from hpcml.commands.jupyter.place import Place, Server
from hpcml.commands.jupyter.server import server_command
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.options import Given
from hpcml.slurm.jobs.site import Site


def test_the_job_file_has_the_options_and_no_token(tmp_path):
    place = Place.new(tmp_path)
    given = Given({"nodes": "1", "time": "2:00:00", "module": "cuda"}, ())
    script = job_script(given, Site({"partition": "gpu"}, ("python/3.12",)), place.path)
    lines = script.text().splitlines()
    assert lines[1:5] == [
        "#SBATCH --job-name=jupyter",
        "#SBATCH --partition=gpu",
        "#SBATCH --nodes=1",
        "#SBATCH --time=2:00:00",
    ]
    assert lines[5:7] == ["module load python/3.12", "module load cuda"]
    assert lines[7].endswith(f"-m hpcml.commands.jupyter.server {place.path}")
    assert place.token not in script.text() + " ".join(server_command(place, "10.0.0.5"))
    assert "--ServerApp.ip=10.0.0.5" in server_command(place, "10.0.0.5")


def test_only_the_user_can_read_the_token(tmp_path):
    place = Place.new(tmp_path)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (place.config, place.path)] == [0o600, 0o700]
    assert len(place.token) == 48
    assert place.token != Place.new(tmp_path).token
    place.remove()
    assert not place.path.exists()


def test_the_login_node_and_the_job_meet(tmp_path):
    place = Place.new(tmp_path)
    assert (place.offer(), place.chosen(), place.server()) == (None, None, None)
    place.make_offer({"addresses": [("127.0.0.1", 1), ("10.0.0.5", 2)], "token": "00"})
    assert place.offer()["addresses"] == [["127.0.0.1", 1], ["10.0.0.5", 2]]
    place.choose("10.0.0.5")
    place.runtime.mkdir()
    (place.runtime / "jpserver-7.json").write_text("{")  # while it is written
    assert place.server() is None
    (place.runtime / "jpserver-7.json").write_text(json.dumps({"port": 4173}))
    assert (place.server().address, place.server().port) == ("10.0.0.5", 4173)


def test_a_directory_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / ".hpcml").write_text("a file")
    with pytest.raises(HpcmlError, match="--chdir=DIR"):
        Place.new(tmp_path)


def test_a_node_that_the_login_node_does_not_reach_is_reached_by_ssh():
    lines = access_lines(Server("n1", "127.0.0.1", 4173), "me@login.site", None, Path("/d/config.json"))
    assert lines == [
        "ssh    ssh -N -J me@login.site -L 4173:127.0.0.1:4173 me@n1",
        "url    http://127.0.0.1:4173/lab",
        "token  in /d/config.json",
    ]
    (line, *_) = access_lines(Server("login", "127.0.0.1", 4173), "me@login.site", None, Path("c"))
    assert line == "ssh    ssh -N -L 4173:127.0.0.1:4173 me@login.site"

"""Options of hpcml.submit, checked before anything is written."""

from datetime import timedelta

import pytest

from hpcml.cluster.jobs.requests import make_request, repeatable, with_signal
from hpcml.errors import HpcmlError
from hpcml.slurm.jobs.options import parse_help
from hpcml.slurm.jobs.site import Site

KNOWN = parse_help("  -N, --nodes=N   nodes\n      --exclusive[=user]  whole\n  -t, --time=minutes  limit\n")


def request(site=None, **given):
    return make_request(given, site or Site(), KNOWN, "hpcml.submit")


def test_options_come_before_those_of_the_site():
    site = Site(sbatch={"nodes": "9", "partition": "main"}, modules=("python",), setup="/s.sh")
    found = request(site, nodes=2, exclusive=True, time=timedelta(seconds=61))
    assert found.options == {"nodes": "2", "partition": "main", "exclusive": None, "time": "2"}
    assert found.script(["run", "it now"]).text().endswith("module load python\nsource /s.sh\nexec run 'it now'\n")


def test_an_option_that_is_off_is_left_out():
    assert request(nodes=None, exclusive=False).options == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"node": 2}, r"no option node: did you mean nodes.*functools.partial"),
        ({"array": "0-3"}, "hpcml.map_array makes an array"),
        ({"nodes": -1}, r"nodes=-1\): write a text"),
        ({"nodes": 1.5}, r"nodes=1.5\)"),
        ({"time": object()}, "a timedelta"),
    ],
)
def test_bad_options_are_named(given, message):
    with pytest.raises(HpcmlError, match=message):
        request(**given)


def test_a_job_is_told_before_its_time_limit():
    assert with_signal(request(time="1:00:00")).options["signal"] == "B:USR2@90"
    assert with_signal(request(time=5)).options["signal"] == "B:USR2@30"
    told = with_signal(make_request({"signal": "B:USR2@300", "no_requeue": True}, Site(), None, "hpcml.submit"))
    assert repeatable(told).options == {"open-mode": "append", "signal": "B:USR2@300", "no-requeue": None}
    assert repeatable(request()).options == {"open-mode": "append", "requeue": None}

"""A study from its runs: medians, efficiency and hours; tables, prices, and a picture."""

import csv
import io
import re
from pathlib import Path

import pytest

from hpcml.commands.scaling.jobs import parse_record
from hpcml.commands.scaling.order import Order, printed_number
from hpcml.commands.scaling.picture import draw
from hpcml.commands.scaling.prices import Provider, read_prices
from hpcml.commands.scaling.study import Measured, make_study
from hpcml.commands.scaling.text import as_csv, as_markdown, as_text
from hpcml.errors import HpcmlError


def runs(seconds, **facts):
    """Runs with the times of each number of slots, which had a node of 8 CPUs for an hour."""
    about = {"start": 1.0, "wall": 3600.0, "cpus": 8, "nodes": 1, **facts}
    return [
        Measured(slots=slots, repeat=repeat, seconds=value, used_cpus=slots, **about)
        for slots, values in seconds.items()
        for repeat, value in enumerate(values)
    ]


STRONG = runs({4: [30, 24, 27], 1: [90, 100, 110], 2: [50, 52, 54]}, billing=10.0, quality=0.5)


def test_points_are_medians_with_the_fewest_slots_as_the_base():
    one, two, four = make_study(STRONG).points
    assert (one.slots, two.slots, four.slots) == (1, 2, 4)
    assert (four.seconds, four.lowest, four.highest, four.repeats) == (27, 24, 30, 3)
    assert four.speedup == pytest.approx(100 / 27)
    assert four.efficiency == pytest.approx(100 / 27 / 4)
    assert one.karp_flatt is None
    assert four.karp_flatt == pytest.approx((27 / 100 - 1 / 4) / (1 - 1 / 4))
    assert (four.core_hours_used, four.core_hours, four.node_hours, four.billed) == (4, 8, 1, 10)
    assert four.quality == 0.5


def test_a_study_that_begins_above_one_slot_says_its_base():
    study = make_study(runs({4: [40], 8: [20], 16: [15]}))
    assert [point.speedup for point in study.points] == pytest.approx([1, 2, 8 / 3])
    assert [point.efficiency for point in study.points] == pytest.approx([1, 1, 2 / 3])
    assert "Base: 4 slots" in as_text(study, "fit.py")


def test_in_a_weak_study_equal_times_are_perfect():
    study = make_study(runs({1: [10], 2: [10], 4: [12.5]}), is_weak=True)
    assert [point.efficiency for point in study.points] == pytest.approx([1, 1, 0.8])
    assert [point.speedup for point in study.points] == pytest.approx([1, 2, 3.2])
    assert (study.amdahl, study.points[2].karp_flatt) == (None, None)
    text = as_text(study, "fit.py {slots}")
    assert "scaled speed-up" in text
    assert "Amdahl" not in text


def test_tables_have_the_same_numbers_and_each_providers_price():
    study = make_study(STRONG)
    cloud = Provider("a cloud", node_hour=3, billed_hour=0.1, currency="USD")
    providers = (Provider("ours", core_hour=0.5), cloud)
    rows = list(csv.DictReader(io.StringIO(as_csv(study, providers))))
    assert [float(row["seconds"]) for row in rows] == [100, 52, 27]
    assert [row["price ours (EUR)"] for row in rows] == ["4.0"] * 3
    assert [row["price a cloud (USD)"] for row in rows] == ["4.0"] * 3
    assert rows[0]["karp_flatt"] == ""
    markdown = as_markdown(study, "fit.py", ["The machine."], providers)
    assert markdown.startswith("# Scaling of `fit.py`\n\n|   slots |")
    assert markdown.endswith("- The machine.\n")
    assert "   a cloud (USD) |" in markdown
    assert "GPU-h" not in markdown


def test_prices_are_read_and_errors_name_the_file(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text('["a cloud"]\ncore_hour = 0.05\ncurrency = "USD"\n[ours]\ngpu_hour = 1\n')
    assert read_prices(path) == (Provider("a cloud", core_hour=0.05, currency="USD"), Provider("ours", gpu_hour=1))
    for text in ("core_hour = 1", "[a]\nper_core = 1", "[a]\ncore_hour = 'much'", "[a]\ncore_hour = -1", "["):
        path.write_text(text)
        with pytest.raises(HpcmlError, match=r"prices\.toml"):
            read_prices(path)


def test_a_picture_is_drawn_of_strong_and_weak_studies(tmp_path):
    for is_weak in (False, True):
        path = tmp_path / f"{is_weak}.svg"
        draw(make_study(runs({n: [10 / n] for n in (2, 4, 8, 16, 32)}), is_weak), "fit.py", path)
        assert path.stat().st_size > 10_000


@pytest.mark.parametrize(
    "text",
    [
        "JobId=7 RunTime=00:02:05 TimeLimit=00:05:00\n NumNodes=3 NumCPUs=12 TRES=cpu=12,node=3,billing=12",
        "JobId=7 RunTime=00:02:05 NumNodes=3 NumCPUs=12 ReqTRES=cpu=12 AllocTRES=cpu=12,node=3,billing=12",
    ],
)
def test_slurms_record_of_a_job_is_read(text):
    record = parse_record(text)
    assert (record.seconds, record.nodes, record.cpus, record.gpus, record.billing) == (125, 3, 12, 0, 12)


def test_runs_of_all_slots_take_turns():
    order = Order(("fit.py",), (1, 2), 2, Path("study"))
    assert list(order.runs()) == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert not order.is_weak
    assert Order(("fit.py", "{slots}"), (1,), 1, Path()).is_weak


def test_the_last_number_that_is_printed_is_the_quality():
    assert printed_number("a 1\na 2.5\n", re.compile("a (.*)")) == 2.5
    assert printed_number("a 1\na b\n", re.compile("a (.*)")) == 1, "no number: the head of a table"
    assert printed_number("a x\n", re.compile("a (.*)")) is None
    assert printed_number("a 1\n", None) is None

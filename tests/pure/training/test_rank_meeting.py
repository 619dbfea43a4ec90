"""Meeting of ranks through files: answers of this start only, bounded waits, and nothing left behind."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from patience import patient, wait_until

from hpcml.errors import HpcmlError
from hpcml.training.ranks.meeting import answer, ask, meeting_directory

KEY = "7.0.0"


@pytest.fixture
def pool():
    with ThreadPoolExecutor(16) as threads:
        yield threads


def test_all_ranks_get_the_answer_and_no_file_is_left(tmp_path, pool):
    asked = [pool.submit(ask, tmp_path, KEY, rank, patient(30)) for rank in range(1, 12)]
    answer(tmp_path, KEY, 12, "10.0.0.1:50000", patient(30))
    assert {one.result() for one in asked} == {"10.0.0.1:50000"}
    assert list(tmp_path.iterdir()) == []


def test_answers_and_requests_of_a_killed_start_are_not_believed(tmp_path, pool):
    directory = meeting_directory(tmp_path, KEY)
    for name in ("1.0123456789abcdef", "1.0123456789abcdef.answer"):
        (directory / name).touch(0o600)
        (directory / name).write_text("10.0.0.1:1111")
    asked = pool.submit(ask, tmp_path, KEY, 1, patient(30))
    answer(tmp_path, KEY, 2, "10.0.0.1:2222", patient(30))
    assert asked.result() == "10.0.0.1:2222"
    assert list(tmp_path.iterdir()) == []


def test_a_rank_that_starts_its_next_program_early_waits_for_the_next_answer(tmp_path, pool):
    """Rank 1 is in its second program while rank 0, in its first, waits for rank 2."""
    first = pool.submit(answer, tmp_path, KEY, 3, "first", patient(60))
    assert pool.submit(ask, tmp_path, KEY, 1, patient(30)).result() == "first"
    again = pool.submit(ask, tmp_path, KEY, 1, patient(60))
    wait_until(lambda: list(tmp_path.glob("*/1.*")))
    assert pool.submit(ask, tmp_path, KEY, 2, patient(30)).result() == "first"
    first.result()
    assert not again.done()
    other = pool.submit(ask, tmp_path, KEY, 2, patient(30))
    answer(tmp_path, KEY, 3, "second", patient(30))
    assert (again.result(), other.result()) == ("second", "second")


def test_a_missing_rank_is_named(tmp_path, pool):
    asked = pool.submit(ask, tmp_path, KEY, 2, patient(30))
    with pytest.raises(HpcmlError, match=r"ranks that took no answer within 2 s: 1, 3\. .*/1\.<number> of"):
        answer(tmp_path, KEY, 4, "never", 2)
    assert asked.result() == "never"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_rank_0_is_named_with_its_file(tmp_path):
    with pytest.raises(HpcmlError, match=r"rank 0 has not answered rank 3 .*/3\.[0-9a-f]{16}\.answer is missing"):
        ask(tmp_path, KEY, 3, 0.1)
    assert list(tmp_path.glob("*/*")) == []


def test_a_directory_that_others_can_enter_is_refused(tmp_path):
    (tmp_path / f"ranks-{KEY}").mkdir(mode=0o755)
    with pytest.raises(HpcmlError, match="is open to other users"):
        ask(tmp_path, KEY, 1, 1)


def test_an_answer_that_others_can_write_is_refused(tmp_path):
    def forge():
        wait_until(lambda: list(tmp_path.glob("*/1.*")))
        (request,) = tmp_path.glob("*/1.*")
        forged = request.with_name("forged")
        forged.write_text("10.6.6.6:666")
        forged.chmod(0o666)
        forged.rename(request.with_name(f"{request.name}.answer"))

    forger = threading.Thread(target=forge)
    forger.start()
    with pytest.raises(HpcmlError, match="cannot be trusted"):
        ask(tmp_path, KEY, 1, patient(30))
    forger.join()


def test_a_directory_that_cannot_be_made_is_an_error_with_advice(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HpcmlError, match=r"cannot be made: File exists(.|\n)*srun --chdir"):
        ask(tmp_path / "file", KEY, 1, 1)

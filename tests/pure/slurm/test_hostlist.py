"""Hostlists and counts: the grammar, the limits, and the errors for garbage."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from patience import promised

from hpcml.errors import AllocationError
from hpcml.slurm.hostlist import MAX_NAMES, compress, expand, expand_counts

WORD = st.text("abn-._01239", min_size=1, max_size=6)
DIGITS = st.integers(0, 120).flatmap(lambda n: st.integers(1, 4).map(lambda width: f"{n:0{width}d}"))
NAME = st.tuples(WORD, DIGITS | st.just("")).map("".join)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ""),
        ("n1", "n1"),
        ("n1,n1", "n1 n1"),
        ("b,a", "b a"),
        ("n[1-3]", "n1 n2 n3"),
        ("n[08-11]", "n08 n09 n10 n11"),
        ("n[9-010]", "n9 n10"),
        ("n[001-3]", "n001 n002 n003"),
        ("n[1,3,05-06,010]", "n1 n3 n05 n06 n010"),
        ("[1-2]", "1 2"),
        ("a[1-2]b[01-02],c", "a1b01 a1b02 a2b01 a2b02 c"),
        ("a[1-2][3-4]", "a13 a14 a23 a24"),
        # recorded from scontrol 22.05.8: of three brackets the middle one varies slowest
        ("a[1-2]b[3-4]c[5-6]", "a1b3c5 a1b3c6 a2b3c5 a2b3c6 a1b4c5 a1b4c6 a2b4c5 a2b4c6"),
        ("n[1-2]-ib,x[1].site", "n1-ib n2-ib x1.site"),
        ("node-a_1.site.org", "node-a_1.site.org"),
    ],
)
def test_expand(text: str, names: str) -> None:
    assert expand(text) == tuple(names.split())


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        (",", 0, "a name is missing"),
        ("a,,b", 2, "a name is missing"),
        ("a,", 2, "a name is missing"),
        ("n[1-2", 1, "the bracket is not closed"),
        ("n[1[2]]", 1, "the bracket holds more than numbers"),
        ("n[a-b]", 1, "the bracket holds more than numbers"),
        ("n1]", 2, "']' cannot be part of a node's name"),
        ("n 1", 1, "' ' cannot be part of a node's name"),
        ("n1\n", 2, "'\\n' cannot be part of a node's name"),
        ("é1", 0, "'é' cannot be part of a node's name"),
        ("n[٣]", 1, "the bracket holds more than numbers"),
        ("n[]", 2, "'' is not a number or a range such as 1-3"),
        ("n[1,]", 4, "'' is not a number or a range such as 1-3"),
        ("n[1-2-3]", 2, "'1-2-3' is not a number or a range such as 1-3"),
        ("n[3-1]", 2, "the range 3-1 runs backwards"),
        ("n[1234567890123456789]", 2, "'1234567890123456789' is not a number or a range such as 1-3"),
        ("m,n[0-262143]", 2, "it reaches 262145 names, and 262144 is the limit"),
        ("n[0-9][0-99999]", 0, "it reaches 1000000 names, and 262144 is the limit"),
        ("a," + "n" * 256, 2, "a name is longer than 255 characters"),
        ("n[0-9]" * 200, 0, "a name is longer than 255 characters"),
    ],
)
def test_garbage_is_refused_with_its_position(text: str, position: int, what: str) -> None:
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    with pytest.raises(AllocationError) as caught:
        expand(text)
    assert str(caught.value) == f"{shown} is not a hostlist of Slurm's: at position {position}, {what}"


@given(st.lists(NAME, max_size=30))
def test_compressed_lists_expand_to_the_same_names(names: list[str]) -> None:
    assert expand(compress(names)) == tuple(names)


@given(st.text(max_size=20) | st.text("n1[]-,", max_size=20))
def test_any_text_expands_or_is_refused(text: str) -> None:
    try:
        names = expand(text)
    except AllocationError:
        return
    assert expand(compress(names)) == names


@pytest.mark.parametrize(
    ("names", "text"),
    [  # what `scontrol show hostlist` of 22.05.8 prints
        ("a1 a2 a3 b01 b02 a1", "a[1-3],b[01-02],a1"),
        ("a1 a2 a3 b09 b10 a1 c8 c9 c10 c11", "a[1-3],b[09-10],a1,c[8-11]"),
        ("c09 c10 c010 c0011 c100", "c[09-10,010,0011,100]"),
        ("login login", "login,login"),
        ("", ""),
    ],
)
def test_compress(names: str, text: str) -> None:
    assert compress(names.split()) == text


@pytest.mark.parametrize("name", ["", "a b", "a,b", "n[1]", "é", "n" * 256])
def test_compress_refuses_texts_that_are_no_names(name: str) -> None:
    with pytest.raises(AllocationError, match="cannot be the name of a node"):
        compress(["n1", name])


def test_the_longest_lists_pass_within_linear_time() -> None:
    start = time.perf_counter()
    names = expand(f"n[000000-{MAX_NAMES - 1}]")
    assert len(names) == MAX_NAMES
    assert compress(names) == f"n[000000-{MAX_NAMES - 1}]"
    assert expand(",".join(names)) == names
    assert len(expand(f"n[{','.join(map(str, range(MAX_NAMES)))}]")) == MAX_NAMES
    assert time.perf_counter() - start < promised(30)
    with pytest.raises(AllocationError, match="262145 names is above the limit"):
        compress([*names, "n"])


@pytest.mark.parametrize(
    ("text", "counts"), [("4", (4,)), ("2(x3),1", (2, 2, 2, 1)), ("0", (0,)), ("28,3", (28, 3))]
)
def test_expand_counts(text: str, counts: tuple[int, ...]) -> None:
    assert expand_counts(text) == counts


@pytest.mark.parametrize(
    ("text", "position", "what"),
    [
        ("", 0, "'' is no count such as 4 or 4(x2)"),
        ("2,", 2, "'' is no count such as 4 or 4(x2)"),
        ("2(x0)", 0, "'2(x0)' is no count such as 4 or 4(x2)"),
        ("2, 3", 2, "' 3' is no count such as 4 or 4(x2)"),
        ("1,-2", 2, "'-2' is no count such as 4 or 4(x2)"),
        ("1(x3", 0, "'1(x3' is no count such as 4 or 4(x2)"),
        ("1(x262144),1", 11, "more than 262144 counts"),
    ],
)
def test_garbage_counts_are_refused_with_their_position(text: str, position: int, what: str) -> None:
    with pytest.raises(AllocationError) as caught:
        expand_counts(text)
    assert str(caught.value) == f"{text!r} is not a list of counts of Slurm's: at position {position}, {what}"


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 5)), min_size=1))
def test_counts_round_trip(runs: list[tuple[int, int]]) -> None:
    text = ",".join(f"{count}(x{times})" if times > 1 else str(count) for count, times in runs)
    assert expand_counts(text) == tuple(count for count, times in runs for _ in range(times))

"""Scoring of a batch on a worker: decoded, grouped, and in halves where it fails."""

import io
import json

import numpy as np
import pytest

from hpcml.serving.batches import Batches
from hpcml.serving.decoding import decode, pack_result, stack
from hpcml.serving.latencies import Latencies
from hpcml.serving.scoring import Scorer, prepare, score_items


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version)
    return file.getvalue()


class Handle:
    """A broadcast scorer, as a worker has it."""

    def __init__(self, function, version=3):
        self.value = Scorer(version, {"w": 2.0}, function)


def scored(function, contents):
    """Return {id: result} of contents by id."""
    found = score_items(Handle(function), f"key-{id(function)}", list(contents.items()))
    results = [json.loads(one.content) for one in found]
    assert [one.failed for one in found] == ["error" in one for one in results]
    assert [one["id"] for one in results] == list(contents)
    return {one["id"]: one for one in results}


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.eye(3, dtype="f4")),
        np.arange(3, dtype=">i2"),
        np.int8(4),
    ],
)
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_arrays_in_npy_are_as_numpy_loads_them(array, version):
    np.testing.assert_array_equal(decode(npy(array, version)), array, strict=True)


@pytest.mark.parametrize(
    "content",
    [
        npy(np.arange(9.0))[:-3],
        npy(np.arange(3))[:20],
        b"\x93NUMPY",
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[1, 2",
        b"{'a'}",
    ],
)
def test_what_cannot_be_decoded_is_a_value_error(content):
    with pytest.raises(ValueError):
        decode(content)


def test_no_object_is_unpickled():
    file = io.BytesIO()
    np.save(file, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="objects"):
        decode(file.getvalue())


def test_numbers_of_json_are_of_one_type_whatever_their_batch():
    kinds = {decode(text).dtype.str for text in (b"1", b"1.5", b"[1, 2]", b"[true, false]", b"[[1.5]]")}
    assert kinds == {"<f8"}
    assert [decode(text) for text in (b'"a"', b'["a"]', b"null", b'{"a": 1}')] == ["a", ["a"], None, {"a": 1}]


def test_a_batch_is_the_items_of_one_shape():
    """Each shape, each type, and all other objects make a batch."""
    seen = []

    def note(model, batch):
        seen.append((type(batch).__name__, getattr(batch, "shape", None), len(batch)))
        return [model["w"]] * len(batch)

    contents = {"a": b"[1, 2]", "b": b"[1]", "c": b"[3, 4]", "d": npy(np.arange(2)), "e": b'{"x": 1}', "f": b'"t"'}
    assert {one["value"] for one in scored(note, contents).values()} == {2.0}
    assert sorted(seen) == [
        ("list", None, 2), ("ndarray", (1, 1), 1), ("ndarray", (1, 2), 1), ("ndarray", (2, 2), 2)
    ]  # fmt: skip


def test_only_bad_items_have_errors():
    def fail_for_negative(model, batch):
        if (batch < 0).any():
            raise ValueError("negative")
        return batch[:, 0] * model["w"]

    contents = {str(number): json.dumps([number if number % 7 else -1]).encode() for number in range(40)}
    found = scored(fail_for_negative, contents)
    assert {id for id, one in found.items() if "error" in one} == {str(number) for number in range(0, 40, 7)}
    assert all(one["value"] == 2.0 * int(id) for id, one in found.items() if "value" in one)
    assert found["0"] == {"id": "0", "version": 3, "error": "ValueError: negative"}


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda batch: [1.0], "returned 1 results for 3 items"),
        (lambda batch: {"a": 1}, "returned a dict"),
        (lambda batch: "abc", "returned a str"),
        (lambda batch: 5, "not iterable"),
        (lambda batch: [{1, 2}] * len(batch), "a set is no result in JSON"),
    ],
)
def test_a_wrong_result_is_an_error_of_each_item(returned, message):
    found = scored(lambda model, batch: returned(batch), {"a": b"[1]", "b": b"[2]", "c": b"[3]"})
    errors = [one.get("error", "") for one in found.values()]
    assert [message in error for error in errors] == [True] * 3, errors


def test_results_are_json():
    values = [np.float32(0.5), np.array([1, 2]), "text", [np.int64(3)], None, True, {"p": np.bool_(True)}]
    packed = [json.loads(pack_result("a", 1, value)) for value in values]
    assert [one["value"] for one in packed] == [0.5, [1, 2], "text", [3], None, True, {"p": True}]


def test_a_method_of_the_model_and_a_frame_as_its_result():
    class Model:
        def predict(self, batch):
            import pandas as pd

            return pd.DataFrame({"a": batch[:, 0], "b": batch[:, 1]})

    assert Scorer(1, Model()).score(np.array([[1.0, 2], [3, 4], [5, 6]]))[2].tolist() == [5, 6]
    with pytest.raises(AttributeError):
        Scorer(1, Model(), method="predict_proba").score(np.zeros((1, 2)))


def test_a_worker_keeps_the_scorers_before_and_after_a_change():
    from hpcml.serving import scoring

    for number in range(4):
        prepare(Handle(None, number), f"kept-{number}", 0.0)
    assert [key for key in scoring._scorers if key.startswith("kept")] == ["kept-2", "kept-3"]


def test_batches_fill_slots_that_are_free_first():
    batches = Batches(size=4, wait=0.01)
    batches.add(range(9), now=1.0)
    assert batches.take(1.0, slots=1, in_flight=0) == [0, 1, 2, 3]
    assert batches.take(1.0, slots=1, in_flight=1) == [4, 5, 6, 7]
    assert batches.seconds_to_next(1.0, slots=1, in_flight=2) is None
    assert batches.seconds_to_next(1.004, slots=1, in_flight=0) == pytest.approx(0.006)
    assert batches.take(1.005, slots=1, in_flight=0) == []
    assert batches.take(1.005, slots=1, in_flight=1, at_once=True) == []
    assert batches.take(1.005, slots=1, in_flight=0, at_once=True) == [8]
    assert batches.seconds_to_next(2.0, slots=1, in_flight=0) is None


def test_quantiles_agree_with_those_of_all_values():
    seconds = np.random.default_rng(0).lognormal(-4, 1, 5000)
    latencies = Latencies()
    for one in seconds:
        latencies.add(one)
    for share in (0.01, 0.5, 0.99):
        assert latencies.quantile(share) == pytest.approx(np.quantile(seconds, share), rel=0.02)
    assert np.isnan(Latencies().quantile(0.5))


def test_one_batch_of_arrays_is_an_array_of_its_own():
    values = [decode(npy(np.arange(3.0))) for _ in range(2)]
    batch = stack(values)
    batch[0, 0] = 7  # a scoring function may write to its batch
    assert batch.shape == (2, 3)

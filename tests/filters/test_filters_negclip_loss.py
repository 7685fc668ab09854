"""negCLIPLoss against the loss computed pair by pair in float64."""

import hashlib
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters import negclip_loss
from filters.embeddings import as_column
from filters.negclip_loss import NegClipLoss
from filters.registry import Context, build, find, parameters_of
from filters.uids.uid_hash import uid_hashes
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "b32_img", "b32_txt", "text"))


def uid(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def pool_of(rows: int, seed: int = 0, dimensions: int = 16, dtype: type = np.float16) -> pa.RecordBatch:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(rows, dimensions))
    texts = images + rng.normal(size=(rows, dimensions)) * rng.uniform(0, 2, (rows, 1))
    names = pa.array([uid(seed * 10_000 + i) for i in range(rows)], pa.string())
    return pa.record_batch({"uid": names, "b32_img": as_column(images.astype(dtype)), "b32_txt": as_column(texts.astype(dtype))})


def with_rows(batch: pa.RecordBatch, column: str, rows: dict[int, float]) -> pa.RecordBatch:
    values = batch[column].flatten().to_numpy().copy().reshape(batch.num_rows, -1)
    for place, value in rows.items():
        values[place] = value
    return batch.set_column(batch.schema.get_field_index(column), column, as_column(values))


def measured(asked: NegClipLoss, batches: list[pa.RecordBatch]) -> np.ndarray:
    ready = asked.prepare(lambda columns: batches)
    return np.concatenate([ready.measure(batch) for batch in batches])


def asked(batch_rows: int = 1000, batches: int = 1, temperature: float = 0.01, seed: int = 0) -> NegClipLoss:
    return NegClipLoss("b32_img", "b32_txt", temperature, batch_rows, batches, seed)


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def log_sum(logits: list[float]) -> float:
    return max(logits) + math.log(sum(math.exp(one - max(logits)) for one in logits))


def pair_by_pair(whole: pa.RecordBatch, batch_rows: int, batches: int, temperature: float, seed: int) -> list[float]:
    images, texts = ([unit(np.array(row, np.float64)) for row in whole[name].to_pylist()] for name in ("b32_img", "b32_txt"))
    results = np.zeros(whole.num_rows)
    for k in range(batches):
        hashes = uid_hashes(whole, seed, k)
        sample = sorted(range(whole.num_rows), key=lambda i: hashes[i])[:batch_rows]
        for i in range(whole.num_rows):
            others = [j for j in sample if j != i] if i in sample else sample[:-1]
            row = [images[i] @ texts[j] / temperature for j in [*others, i]]
            column = [images[j] @ texts[i] / temperature for j in [*others, i]]
            results[i] += (images[i] @ texts[i] - temperature / 2 * (log_sum(row) + log_sum(column))) / batches
    return results.tolist()


@settings(max_examples=40)
@given(
    rows=st.integers(1, 24),
    batch_rows=st.integers(1, 30),
    batches=st.integers(1, 3),
    temperature=st.sampled_from([0.01, 0.07, 1.0]),
    cut=st.integers(1, 25),
)
def test_it_is_the_loss_in_batches_of_the_pool(rows: int, batch_rows: int, batches: int, temperature: float, cut: int):
    whole = pool_of(rows)
    found = measured(asked(batch_rows, batches, temperature), [whole.slice(at, cut) for at in range(0, rows, cut)])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, pair_by_pair(whole, batch_rows, batches, temperature, 0), atol=3e-6)


def test_blocks_do_not_change_it(monkeypatch: pytest.MonkeyPatch):
    whole = pool_of(100)
    at_once = measured(asked(60, 2), [whole])
    monkeypatch.setattr(negclip_loss, "_BLOCK", 7)
    np.testing.assert_allclose(measured(asked(60, 2), [whole]), at_once, atol=1e-6)


def test_a_generic_caption_scores_less_than_its_cosine_says():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(50, 32)) + 2
    texts = images + 0.5 * rng.normal(size=(50, 32))
    texts[0] = images.mean(axis=0)  # near every image of the pool
    names = pa.array([uid(i) for i in range(50)])
    whole = pa.record_batch({"uid": names, "b32_img": as_column(images), "b32_txt": as_column(texts)})
    cosines = [unit(image) @ unit(text) for image, text in zip(images, texts, strict=True)]
    scores = measured(asked(), [whole])
    assert min(cosines) > 0.8
    assert cosines[0] > 0.85
    assert scores[0] < scores[1:].min()
    assert scores.max() <= 0


def test_pairs_that_match_nearly_perfectly_still_differ():
    images = np.eye(16)[np.arange(200) % 16] + np.random.default_rng(0).normal(size=(200, 16))
    columns = {name: as_column(images.astype(np.float32)) for name in ("b32_img", "b32_txt")}
    found = measured(asked(temperature=0.05), [pa.record_batch({"uid": pa.array([uid(i) for i in range(200)]), **columns})])
    assert len(np.unique(found)) > 190
    assert found.max() < 0


def test_files_in_another_order_give_the_same_numbers():
    whole = pool_of(60)
    parts = [whole.slice(at, 20) for at in range(0, 60, 20)]
    straight, turned = measured(asked(25, 2), parts), measured(asked(25, 2), parts[::-1])
    assert np.array_equal(straight, np.concatenate([turned[40:], turned[20:40], turned[:20]]))


def test_another_seed_draws_other_batches():
    whole = pool_of(60)
    assert not np.array_equal(measured(asked(10), [whole]), measured(asked(10, seed=1), [whole]))


def test_a_pair_alone_scores_zero_and_an_empty_pool_gives_nothing():
    assert measured(asked(), [pool_of(1)]).tolist() == [0]
    ready = asked().prepare(lambda columns: [])
    assert np.isnan(ready.measure(pool_of(3))).all()
    assert asked().prepare(lambda columns: [pool_of(3)]).measure(pool_of(3).slice(0, 0)).tolist() == []


@pytest.mark.parametrize("value", [0, math.nan, math.inf])
def test_rows_without_an_embedding_have_no_score_and_do_not_touch_the_others(value: float):
    whole = pool_of(12, dtype=np.float32)
    spoilt = with_rows(with_rows(whole, "b32_img", {2: value}), "b32_txt", {7: value})
    found = measured(asked(), [spoilt])
    others = [i for i in range(12) if i not in (2, 7)]
    assert np.flatnonzero(np.isnan(found)).tolist() == [2, 7]
    np.testing.assert_allclose(found[others], pair_by_pair(whole.take(others), 1000, 1, 0.01, 0), atol=3e-6)


def test_a_pair_that_stands_there_twice_is_in_the_batch_once():
    whole = pool_of(20)
    twice = [whole, whole.slice(3, 5)]
    np.testing.assert_array_equal(measured(asked(15), twice)[:20], measured(asked(15), [whole]))


def test_embeddings_of_different_models_are_refused():
    other = pool_of(5, seed=1, dimensions=8)
    with pytest.raises(UserError, match="of 16 and of 8 dimensions"):
        measured(asked(), [pool_of(5), other])
    with pytest.raises(UserError, match="b32_img has 16 dimensions, b32_txt 8"):
        measured(asked(), [pool_of(5).set_column(2, "b32_txt", other["b32_txt"])])


def test_a_fraction_keeps_the_best_and_a_threshold_what_reaches_it():
    whole = pool_of(40)
    scores = measured(asked(temperature=0.5), [whole])
    values = {"arch": "b32", "batch_rows": 1000, "temperature": 0.5}
    top = build("negclip_loss", {**values, "fraction": 0.25}, CONTEXT).resolve(lambda columns: [whole])
    assert np.flatnonzero(top.keep(whole).to_numpy(zero_copy_only=False)).tolist() == sorted(np.argsort(-scores)[:11])
    middle = float(np.median(scores))
    least = build("negclip_loss", {**values, "threshold": middle}, CONTEXT).resolve(lambda columns: [whole])
    assert least.keep(whole).to_pylist() == (scores >= np.float32(middle)).tolist()


def test_the_number_can_be_kept_as_a_column():
    entry = find("negclip_loss")
    assert entry.measure is not None
    assert entry.measure(parameters_of(entry, {"arch": "b32"}), CONTEXT) == asked(32_768)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, UsageError, "give arch"),
        ({"arch": "b32"}, UsageError, "either --threshold or --fraction"),
        ({"arch": "l14", "fraction": 0.3}, UserError, r"no embeddings l14_img .*it has: b32_img, b32_txt"),
        ({"arch": "b32", "fraction": 0.3, "temperature": 0.0}, UsageError, "temperature 0.0: must be more than 0"),
        ({"arch": "b32", "fraction": 0.3, "batch_rows": 0}, UsageError, "batch_rows 0"),
        ({"arch": "b32", "fraction": 0.3, "batches": 11}, UsageError, "batches 11"),
    ],
)
def test_what_cannot_be_worked_with_is_refused(values: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        build("negclip_loss", values, CONTEXT)

"""Metrics of items, against references that are slow and written apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluate.metrics import classification_items, hits_at, retrieval_items


def slow_hit(row, true, k):
    """1 where fewer than k columns come before the true one, by sorting."""
    return float(sorted(range(len(row)), key=lambda j: -row[j]).index(true) < k)


def scored(similarity, truth):
    """Of embeddings whose cosines are these."""
    return classification_items(similarity, np.eye(similarity.shape[1]), truth)[0]


def paired(similarity):
    return retrieval_items(similarity, np.eye(len(similarity)), np.arange(len(similarity)))


def distinct(rng, n, m):
    return rng.permutation(n * m).reshape(n, m).astype(float)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 12), m=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_accuracy_is_that_of_sorting_every_row(n, m, seed):
    rng = np.random.default_rng(seed)
    similarity, truth = distinct(rng, n, m), rng.integers(0, m, n)
    items = scored(similarity, truth)
    assert ("acc5" in items) == (m >= 5)
    for metric, k in [("acc1", 1), ("acc5", 5)][: len(items) - 1]:
        assert items[metric].tolist() == [slow_hit(row, true, k) for row, true in zip(similarity, truth, strict=True)]


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 30), m=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_mean_per_class_recall_is_the_mean_of_the_classes_recalls(n, m, seed):
    rng = np.random.default_rng(seed)
    similarity, truth = distinct(rng, n, m), rng.integers(0, m, n)
    right = similarity.argmax(axis=1) == truth
    reference = np.mean([right[truth == c].mean() for c in range(m) if (truth == c).any()])
    assert scored(similarity, truth)["mean_per_class_recall"].mean() == pytest.approx(reference, abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 15), seed=st.integers(0, 10_000))
def test_retrieval_is_that_of_sorting_rows_and_columns(n, seed):
    similarity = distinct(np.random.default_rng(seed), n, n)
    items = paired(similarity)
    for k in (1, 5, 10):
        assert items[f"text_retrieval_recall@{k}"].tolist() == [slow_hit(similarity[i], i, k) for i in range(n)]
        assert items[f"image_retrieval_recall@{k}"].tolist() == [slow_hit(similarity[:, i], i, k) for i in range(n)]


def test_the_names_are_clip_benchmark_s():
    assert set(paired(np.eye(3))) == {
        *(f"{side}_retrieval_recall@{k}" for side in ("image", "text") for k in (1, 5, 10)),
        "mean_recall@1",
    }


def test_a_model_that_answers_the_same_to_everything_scores_at_chance():
    items = scored(np.zeros((8, 4)), np.arange(8) % 4)
    assert items["acc1"].mean() == pytest.approx(0.25)


def test_two_items_with_one_caption_share_their_hit():
    similarity = np.array([[0.9, 0.9, 0.1]])
    assert hits_at(similarity, np.array([0]), 1).tolist() == [0.5]
    assert hits_at(similarity, np.array([0]), 2).tolist() == [1.0]


def test_a_model_that_gives_no_number_scores_nothing():
    assert scored(np.full((3, 2), np.nan), np.array([0, 1, 0]))["acc1"].tolist() == [0, 0, 0]

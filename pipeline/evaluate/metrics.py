"""Similarities → what each test item scores. The mean over items is the metric, under CLIP_benchmark's names.

A tie is worth the chance of winning it in random order, so a model that answers the same to everything scores at chance and
two items with one caption share their hit. Without ties the numbers are those of a top-k, as CLIP_benchmark computes them.
"""

from collections.abc import Iterator

import numpy as np

RECALL_AT = (1, 5, 10)
_AT_ONCE = 2**24  # similarities in memory


def hits_at(similarity: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Chance that the true column is among the k most similar ones, per row: (n,) float64 in 0 … 1.

    similarity: (n, m) float; truth: (n,) int, the true column of each row. A row with a NaN scores 0.
    """
    hits: np.ndarray = hits_of(similarity, truth[:, None] == np.arange(similarity.shape[1]), (k,))[0]
    return hits


def hits_of(similarity: np.ndarray, right: np.ndarray, ks: tuple[int, ...]) -> np.ndarray:
    """Chance that at least one right column is among the k most similar ones: (len(ks), n) float64 in 0 … 1.

    similarity: (n, m) float; right: (n, m) bool, with at least one right column in each row. A row with a NaN scores 0.
    """
    best = np.where(right, similarity, -np.inf).max(axis=1, keepdims=True)
    above = (similarity > best).sum(axis=1)
    level = similarity == best
    right_there = (level & right).sum(axis=1)
    wrong_there = level.sum(axis=1) - right_there
    broken = np.isnan(similarity).any(axis=1)
    return np.stack([np.where(broken, 0.0, _chance(k - above, right_there, wrong_there)) for k in ks])


def _chance(places: np.ndarray, right: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Chance that of right + wrong ones in random order a right one is among the first `places`."""
    missed = np.ones(len(places))
    for place in range(max(0, int(places.max(initial=0)))):
        all_wrong = np.maximum(wrong - place, 0) / np.maximum(wrong + right - place, 1)
        missed *= np.where(place < places, all_wrong, 1.0)
    return 1.0 - missed


def classification_items(images: np.ndarray, classes: np.ndarray, truth: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """acc1, acc5 and mean_per_class_recall of n images against m classes, and the class (n,) int that each is taken for.

    Each metric is (n,) float32, its mean is the metric. images: (n, d), classes: (m, d), unit embeddings; truth: (n,) int. With
    fewer than five classes there is no acc5. An item's share in mean_per_class_recall is its hit times n ÷ (classes present ×
    items of its class).
    """
    n, m = len(images), len(classes)
    hits, answers = np.empty((2, n)), np.empty(n, np.int64)
    for rows in _runs(n, m):
        similarity = images[rows] @ classes.T
        hits[:, rows] = hits_of(similarity, truth[rows, None] == np.arange(m), (1, 5))
        answers[rows] = similarity.argmax(axis=1)
    counts = np.bincount(truth, minlength=m)
    weight = n / (np.count_nonzero(counts) * counts[truth])
    items = {"acc1": hits[0], "acc5": hits[1], "mean_per_class_recall": hits[0] * weight}
    if m < 5:
        del items["acc5"]
    return {name: values.astype(np.float32) for name, values in items.items()}, answers


def retrieval_items(images: np.ndarray, texts: np.ndarray, image_of: np.ndarray) -> dict[str, np.ndarray]:
    """Recall of n images and m texts, unit embeddings (n, d) and (m, d): each (n,) float32, its mean is the metric.

    image_of: (m,) int, the image that a text belongs to; every image has one text at least. text_retrieval: an image asks, and
    any of its texts is right. image_retrieval: a text asks; what an image's texts hit stands with that image, times n ÷ m, since
    texts of one image are no independent items. mean_recall@1 is the mean of the two.
    """
    n, m = len(images), len(texts)
    finding_texts = np.concatenate(
        [hits_of(images[rows] @ texts.T, image_of == rows[:, None], RECALL_AT) for rows in _runs(n, m)], axis=1
    )
    each = np.concatenate(
        [hits_of(texts[rows] @ images.T, image_of[rows, None] == np.arange(n), RECALL_AT) for rows in _runs(m, n)], axis=1
    )
    finding_images = np.stack([np.bincount(image_of, hits, n) * (n / m) for hits in each])
    items = {}
    for at, k in enumerate(RECALL_AT):
        items[f"image_retrieval_recall@{k}"] = finding_images[at]
        items[f"text_retrieval_recall@{k}"] = finding_texts[at]
    items["mean_recall@1"] = (finding_images[0] + finding_texts[0]) / 2
    return {name: values.astype(np.float32) for name, values in items.items()}


def _runs(rows: int, columns: int) -> Iterator[np.ndarray]:
    """Numbers of rows, so many at a time that their similarities fit in memory."""
    step = max(1, _AT_ONCE // columns)
    for begin in range(0, rows, step):
        yield np.arange(begin, min(begin + step, rows))

"""Similarities → what each test item scores. The mean over items is the metric, under CLIP_benchmark's names.

A tie is worth the chance of winning it in random order, so a model that answers the same to everything scores at chance and
two items with one caption share their hit. Without ties the numbers are those of a top-k.
"""

import numpy as np

RECALL_AT = (1, 5, 10)
MAIN_CLASSIFICATION = "acc1"
MAIN_RETRIEVAL = "mean_recall@1"


def hits_at(similarity: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Chance that the true column is among the k most similar ones, per row: (n,) float64 in 0 … 1.

    similarity: (n, m) float; truth: (n,) int, the true column of each row. A row with a NaN scores 0.
    """
    true = similarity[np.arange(len(truth)), truth][:, None]
    above = (similarity > true).sum(axis=1)
    tied = (similarity == true).sum(axis=1)
    hits: np.ndarray = np.clip((k - above) / np.maximum(tied, 1), 0.0, 1.0)
    hits[np.isnan(similarity).any(axis=1)] = 0.0
    return hits


def classification_items(similarity: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """acc1, acc5 and mean_per_class_recall of n images against m classes: each (n,) float32, its mean is the metric.

    An item's share in mean_per_class_recall is its hit times n ÷ (classes present × items of its class).
    """
    hit = hits_at(similarity, truth, 1)
    counts = np.bincount(truth, minlength=similarity.shape[1])
    weight = len(truth) / (np.count_nonzero(counts) * counts[truth])
    items = {"acc1": hit, "acc5": hits_at(similarity, truth, 5), "mean_per_class_recall": hit * weight}
    return {name: values.astype(np.float32) for name, values in items.items()}


def retrieval_items(similarity: np.ndarray) -> dict[str, np.ndarray]:
    """Recall of n pairs, similarity (n, n) images × texts, pair i being (i, i): each (n,) float32, its mean is the metric.

    image_retrieval: the text asks and its image is sought; text_retrieval: the image asks. mean_recall@1 is their mean.
    """
    pairs = np.arange(len(similarity))
    items = {}
    for k in RECALL_AT:
        items[f"image_retrieval_recall@{k}"] = hits_at(similarity.T, pairs, k)
        items[f"text_retrieval_recall@{k}"] = hits_at(similarity, pairs, k)
    items[MAIN_RETRIEVAL] = (items["image_retrieval_recall@1"] + items["text_retrieval_recall@1"]) / 2
    return {name: values.astype(np.float32) for name, values in items.items()}

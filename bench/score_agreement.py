"""Whether two sides computed the same: cosines between the embeddings that they wrote of the same pairs."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def agreement(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Cosines of the same pair's embeddings, key → (2, d); raises SystemExit where the sides have other pairs.

    `between_pictures` says what the numbers are worth: how alike the embeddings of *different* pictures are. A random model gives
    all much the same direction, so `image_centred_least` compares what is left without the mean of all pictures, too.
    """
    if ours.keys() != theirs.keys():
        raise SystemExit(f"{len(ours)} pairs on one side, {len(theirs)} on the other, {len(ours.keys() & theirs.keys())} on both")
    keys = sorted(ours)
    left, right = (np.stack([side[key] for key in keys]) for side in (ours, theirs))
    image, text = (cosines(left[:, at], right[:, at]) for at in (0, 1))
    mean = right[:, 0].mean(axis=0)
    centred = cosines(left[:, 0] - mean, right[:, 0] - mean)
    return {
        "pairs": len(keys),
        "image_least": float(image.min()),
        "text_least": float(text.min()),
        "image_mean": float(image.mean()),
        "text_mean": float(text.mean()),
        "image_centred_least": float(centred.min()),
        "image_centred_mean": float(centred.mean()),
        "between_pictures": float(np.median(cosines(right[:-1, 0], right[1:, 0]))),
    }


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(n,) of two (n, d)."""
    found: np.ndarray = (left * right).sum(axis=1) / (np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1))
    return found

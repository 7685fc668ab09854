"""How sure a mean over seeds × test items is, and a difference of two: seeds and items are both samples.

The scores of a filter are an (S, n) table, S seeds by n items, crossed: every seed is tested on the same items. The variance of
its grand mean is (MS_seed + MS_item − MS_rest) / (S n) in the mean squares of the two-way table. It is the design of
multi-reader studies with random readers and random cases (Dorfman, Berbaum and Metz 1992; Hillis 2007). A difference of two
filters is the same with the difference of their tables, paired over seeds (which share initial weights and order) and items.

- Items are many: they are bootstrapped (Efron 1979), the same resampled items for all filters. The bootstrap of the mean over
  seeds has variance MS_item / (S n), which counts MS_rest once too often, since the seeds' part holds it already; so its
  deviations are shrunk by sqrt(1 − MS_rest / MS_item). Beyond some thousand items the bootstrap is drawn from what it tends to,
  the normal distribution with the same covariance between filters.
- Seeds are few, and resampling 3 seeds finds 2/3 of their variance and no tails: intervals far too narrow. Their part is
  drawn from Student's t with S − 1 degrees of freedom times sd / √S, which is exact for normal seed effects. Drawn at
  the midpoints of equal slices of probability, so that no noise is added.
- Two seeds agree exactly by luck now and then, as hits are counted in whole items, which would make any difference look sure:
  their sd counts for no less than the rest alone would give in 19 of 20 cases (MS_rest / n times the 5 % quantile of χ² over its
  degrees of freedom), had the seed no effect at all.

Fewer than 20 draws beyond 0 do not tell a p: many filters make many pairs, and Holm's correction would make ties of them all even
where no draw is beyond 0. There p is that of the model itself, a normal items' part and Student's seeds' part, added. Without
any noise (one item, or items that all say the same) it is one half: nothing tells how sure that is.

A difference of two filters is linear in their tables: all that is needed of it is in two K × K matrices of products and in the
filters' own draws, so that every pair of many filters costs little. With one seed only items are covered: such an interval says
nothing of what another seed would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtr, stdtr, stdtrit

LEVEL = 0.05
MOST_RESAMPLED = 2000  # items; the skewness of a mean, and so its distance from normal, falls with their root
_ITEM_DRAWS_AT_ONCE = 4_000_000  # random item numbers held in memory
_ITEMS_AT_ONCE = 16_384
_CONTRASTS_AT_ONCE = 128
_FEW_DRAWS = 20
_DEVIATES = np.linspace(-8, 8, 321)  # of the items' part, in its standard deviations


@dataclass(frozen=True)
class Crossed:
    """K filters on one task, all with the same S seeds and n items: what every difference of two can be told from."""

    means: np.ndarray  # (K, S) float64, of each seed
    items: np.ndarray  # (K, K) float64: products of the filters' item effects (means over seeds less the grand mean), over items
    rest: np.ndarray  # (K, K) float64: products of what neither the seed nor the item accounts for, over seeds and items
    n_items: int
    deviations: np.ndarray  # (K, draws) float32: mean item effects over resampled items


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """`low` … `high` is the 95 % interval; `p` the share of draws that are not above 0, `p_below` of those not below it.

    Both are one-sided; ties are counted half. Where draws are too few to tell, both are by the model that they are drawn from.
    """

    n_seeds: int
    mean: float
    sd: float | None
    low: float
    high: float
    p: float
    p_below: float


def crossed(tables: Sequence[Sequence[np.ndarray]], *, draws: int, rng: np.random.Generator) -> list[Crossed]:
    """The Crossed of each metric of one task; all metrics and filters share the resampled items.

    `tables`: per metric K arrays (S, n) of scores, of any real type, the same S and n in all.
    """
    n_filters = len(tables[0])
    effects = [_products(each) for each in tables]
    if tables[0][0].shape[1] <= MOST_RESAMPLED:
        found = _resample(np.concatenate([_item_effects(each) for each in tables]), draws, rng)
        deviations = list(found.reshape(len(tables), n_filters, draws))
    else:
        deviations = [_normal(items / n**2, draws, rng) for _, items, _, n in effects]
    return [Crossed(*each, deviation.astype(np.float32)) for each, deviation in zip(effects, deviations, strict=True)]


def estimate(tasks: Sequence[Crossed], weights: np.ndarray, *, seed: int) -> list[Estimate]:
    """The estimate of each weighted sum of filters, (C, K) weights, averaged over tasks. Deterministic for a seed."""
    draws = tasks[0].deviations.shape[1]
    probabilities = np.random.default_rng(seed).permutation((np.arange(draws) + 0.5) / draws)
    found: list[Estimate] = []
    for start in range(0, len(weights), _CONTRASTS_AT_ONCE):
        found += _estimate_some(tasks, weights[start : start + _CONTRASTS_AT_ONCE].astype(np.float64), probabilities)
    return found


def holm(p: Sequence[float]) -> list[float]:
    """The p values corrected for their number: Holm 1979, step-down."""
    order = np.argsort(p, kind="stable")
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


def _estimate_some(tasks: Sequence[Crossed], weights: np.ndarray, probabilities: np.ndarray) -> list[Estimate]:
    means = weights @ np.mean([task.means for task in tasks], axis=0)  # (C, S)
    n_seeds = means.shape[1]
    draws, least = np.zeros((len(weights), len(probabilities))), np.zeros(len(weights))
    for task in tasks:
        ms_item, ms_rest = _mean_squares(task, weights)
        shrunk = weights * (np.sqrt(np.clip(1 - _ratio(ms_rest, ms_item), 0, 1)) / len(tasks))[:, None]
        draws += shrunk @ task.deviations
        least += ms_rest / task.n_items / len(tasks) ** 2
    item_sds, seed_errors = draws.std(axis=1), np.zeros(len(means))
    draws += means.mean(axis=1, keepdims=True)
    sds = [None] * len(means)
    if n_seeds > 1:
        found = means.std(axis=1, ddof=1)
        sds = found.tolist()
        luck = np.sqrt(least * chdtri(n_seeds - 1, 1 - LEVEL) / (n_seeds - 1))
        seed_errors = np.maximum(found, luck) / np.sqrt(n_seeds)
        draws += seed_errors[:, None] * stdtrit(n_seeds - 1, probabilities)
    tails = (_beyond(side * means.mean(axis=1), item_sds, seed_errors, n_seeds) for side in (1, -1))
    return [_read_off(*each) for each in zip(draws, means, sds, *tails, strict=True)]


def _beyond(distances: np.ndarray, item_sds: np.ndarray, seed_errors: np.ndarray, n_seeds: int) -> np.ndarray:
    """(C,): the chance that noise is below −distance, by the model; one half where there is no noise to judge by."""
    of_items = ndtr(-_ratio(distances, item_sds))
    if n_seeds == 1:
        return np.asarray(of_items)
    weights = np.exp(-(_DEVIATES**2) / 2)
    reached = distances[:, None] + item_sds[:, None] * _DEVIATES
    of_both = stdtr(n_seeds - 1, -_ratio(reached, seed_errors[:, None])) @ weights / weights.sum()
    return np.asarray(np.where(seed_errors > 0, of_both, of_items))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Their quotient, 0 where there is none."""
    return np.asarray(np.divide(above, below, out=np.zeros_like(above), where=below > 0))


def _mean_squares(task: Crossed, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MS_item and MS_rest of each weighted sum, (C,) both; no rest with one seed or one item."""
    n_seeds, n = task.means.shape[1], task.n_items
    items, rest = (np.einsum("ck,kl,cl->c", weights, each, weights, optimize=True) for each in (task.items, task.rest))
    return n_seeds * items / max(n - 1, 1), rest / max((n_seeds - 1) * (n - 1), 1)


def _read_off(draws: np.ndarray, means: np.ndarray, sd: float | None, below: float, above: float) -> Estimate:
    low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
    # Rounding must not turn a difference of nothing into one.
    ties = 0.5 * np.count_nonzero(np.abs(draws) <= 1e-9)
    counts = (np.count_nonzero(draws < -1e-9) + ties, np.count_nonzero(draws > 1e-9) + ties)
    p, p_below = (
        float(min(1.0, (1 + count) / (1 + len(draws)) if count >= _FEW_DRAWS else tail))
        for count, tail in zip(counts, (below, above), strict=True)
    )
    mean = float(means.mean())
    return Estimate(n_seeds=len(means), mean=mean, sd=sd, low=float(low), high=float(high), p=p, p_below=p_below)


def _products(tables: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Means (K, S), and the products (K, K) of item effects and of the rest; a slice of the items at a time."""
    n_seeds, n = tables[0].shape
    means = np.stack([table.mean(axis=1, dtype=np.float64) for table in tables])
    items, rest = np.zeros((2, len(tables), len(tables)))
    for start in range(0, n, _ITEMS_AT_ONCE):
        scores = np.stack([table[:, start : start + _ITEMS_AT_ONCE] for table in tables]).astype(np.float64)
        scores -= means[:, :, None]
        effects = scores.mean(axis=1)
        items += effects @ effects.T
        for own in range(n_seeds if n_seeds > 1 else 0):
            left = scores[:, own] - effects
            rest += left @ left.T
    return means, items, rest, n


def _item_effects(tables: Sequence[np.ndarray]) -> np.ndarray:
    """(K, n): each item's mean over seeds less the grand mean."""
    means = np.stack([table.mean(axis=0, dtype=np.float64) for table in tables])
    return np.asarray(means - means.mean(axis=1, keepdims=True))


def _resample(vectors: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(k, draws): means of k vectors (k, n) over n items drawn with replacement, the same items for all k."""
    n = vectors.shape[1]
    at_once = max(1, _ITEM_DRAWS_AT_ONCE // n)
    pieces = []
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        chosen = rng.integers(0, n, (size, n), dtype=np.int32) + n * np.arange(size, dtype=np.int32)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
        pieces.append(vectors @ counts.T.astype(np.float64) / n)
    return np.concatenate(pieces, axis=1)


def _normal(covariance: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(k, draws): draws of k means with the covariance (k, k), as many below as above the mean."""
    return normal_root(covariance) @ rng.standard_normal((len(covariance), draws))


def normal_root(covariance: np.ndarray) -> np.ndarray:
    """(k, k): R with R Rᵀ the covariance; what noise made negative in it is taken for 0."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray(vectors * np.sqrt(np.clip(values, 0, None)))

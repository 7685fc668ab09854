"""How sure a mean over seeds × test items is, and a difference of two: seeds and items are both samples.

The scores of a filter are an (S, n) table, S seeds by n items, crossed: every seed is tested on the same items. The variance of
its grand mean is (MS_seed + MS_item − MS_rest) / (S n) in the mean squares of the two-way table. It is the design of
multi-reader studies with random readers and random cases (Dorfman, Berbaum and Metz 1992; Hillis 2007). A difference of two
filters is the same with the difference of their tables, paired over seeds (which share initial weights and order) and items.

- Items are many: they are bootstrapped (Efron 1979), the same resampled items for all filters. The bootstrap of the mean over
  seeds has variance MS_item / (S n), which counts MS_rest once too often, since the seeds' part holds it already; so its
  deviations are shrunk by sqrt(1 − MS_rest / MS_item).
- Seeds are few, and resampling 3 seeds finds 2/3 of their variance and no tails: intervals far too narrow. Their part is
  drawn from Student's t with S − 1 degrees of freedom times sd / √S, which is exact for normal seed effects. Drawn at
  the midpoints of equal slices of probability, so that no noise is added.

With one seed only items are covered: such an interval says nothing of what another seed would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

LEVEL = 0.05
_ITEM_DRAWS_AT_ONCE = 4_000_000  # random item numbers held in memory


@dataclass(frozen=True)
class Table:
    """What is to be estimated: per task an (S, n) table of scores or of differences. The estimate is the mean over tasks."""

    tasks: dict[str, np.ndarray]

    @property
    def seed_means(self) -> np.ndarray:
        """(S,): the value of each seed."""
        return np.asarray(np.mean([table.mean(axis=1, dtype=np.float64) for table in self.tasks.values()], axis=0))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """`low` … `high` is the 95 % interval; `p` the share of draws that are not above 0, `p_below` of those not below it.

    Both are one-sided; ties are counted half.
    """

    n_seeds: int
    mean: float
    sd: float | None
    low: float
    high: float
    p: float
    p_below: float


def estimate(tables: Sequence[Table], *, draws: int, seed: int) -> list[Estimate]:
    """The estimate of each table; all share the resampled items. Deterministic for a seed."""
    deviations = np.zeros((len(tables), draws))
    for task in sorted({name for table in tables for name in table.tasks}):
        having = [i for i, table in enumerate(tables) if task in table.tasks]
        vectors = np.stack([_item_part(tables[i].tasks[task]) for i in having])
        found = _resample(vectors, draws, np.random.default_rng([seed, *task.encode()]))
        shares = np.array([1 / len(tables[i].tasks) for i in having])
        deviations[having] += found * shares[:, None]
    probabilities = np.random.default_rng(seed).permutation((np.arange(draws) + 0.5) / draws)
    return [_estimate_one(table, deviation, probabilities) for table, deviation in zip(tables, deviations, strict=True)]


def holm(p: Sequence[float]) -> list[float]:
    """The p values corrected for their number: Holm 1979, step-down."""
    order = np.argsort(p, kind="stable")
    corrected, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        corrected[i] = largest
    return corrected


def _item_part(table: np.ndarray) -> np.ndarray:
    """(n,): each item's deviation from the mean, averaged over seeds, shrunk by what the seeds' part counts already."""
    scores = table.astype(np.float64)
    items: np.ndarray = scores.mean(axis=0) - scores.mean()
    n_seeds, n_items = scores.shape
    if n_seeds == 1 or n_items == 1:
        return items
    rest = scores - scores.mean(axis=1, keepdims=True) - items
    ms_item = n_seeds * (items**2).sum() / (n_items - 1)
    ms_rest = (rest**2).sum() / ((n_seeds - 1) * (n_items - 1))
    shrink: float = np.sqrt(max(0.0, 1 - ms_rest / ms_item)) if ms_item > 0 else 1.0
    shrunk: np.ndarray = items * shrink
    return shrunk


def _resample(vectors: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """(k, draws): means of k vectors (k, n) over n items drawn with replacement, the same items for all k."""
    n = vectors.shape[1]
    at_once = max(1, _ITEM_DRAWS_AT_ONCE // n)
    pieces = []
    for start in range(0, draws, at_once):
        size = min(at_once, draws - start)
        chosen = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n)
        pieces.append(vectors @ counts.T.astype(np.float64) / n)
    return np.concatenate(pieces, axis=1)


def _estimate_one(table: Table, deviation: np.ndarray, probabilities: np.ndarray) -> Estimate:
    means = table.seed_means
    n_seeds, mean = len(means), float(means.mean())
    sd = float(means.std(ddof=1)) if n_seeds > 1 else None
    draws = mean + deviation
    if sd is not None:
        draws = draws + stdtrit(n_seeds - 1, probabilities) * sd / np.sqrt(n_seeds)
    low, high = np.quantile(draws, [LEVEL / 2, 1 - LEVEL / 2])
    # Rounding must not turn a difference of nothing into one.
    ties = 0.5 * np.count_nonzero(np.abs(draws) <= 1e-12)
    p, p_below = (
        float(min(1.0, (1 + np.count_nonzero(side) + ties) / (1 + len(draws)))) for side in (draws < -1e-12, draws > 1e-12)
    )
    return Estimate(n_seeds=n_seeds, mean=mean, sd=sd, low=float(low), high=float(high), p=p, p_below=p_below)

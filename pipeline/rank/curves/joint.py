"""Draws of all filters' means at all computes together: what else the same seeds and test items could have shown.

Rankings at two computes, and curves through several, are compared on the same resampled seeds and items, or what is common to
them would count as a difference. The model of variance is that of pipeline.rank.bootstrap:

- Items: normal with the covariance of the item effects between all filters and computes, less what the seeds' part holds
  already (the covariance of the rest, between results of the same scale, model and seed).
- Seeds: a seed that several filters or checkpoints share is drawn once for all of them, as multivariate Student's t with S − 1
  degrees of freedom: the sum over seeds of normal draws times each seed's deviation from the mean, over a common χ.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from pipeline.rank.bootstrap import normal_root
from pipeline.rank.runs import Group

_ITEMS_AT_ONCE = 8192


@dataclass(frozen=True)
class Joint:
    """Means of R results (a filter at a compute each), and draws of them."""

    keys: list[tuple[int, str]]  # (number of the group, filter)
    means: np.ndarray  # (R,)
    draws: np.ndarray  # (R, B)

    def rows(self, group: int, filters: Sequence[str]) -> list[int]:
        """Where the results of these filters at this compute stand."""
        return [self.keys.index((group, name)) for name in filters]


def joint_draws(groups: Sequence[Group], measures: dict[str, str], *, draws: int, seed: int) -> Joint:
    """Draws of every filter's mean over the tasks of `measures` (task → metric, each in every group) at every compute."""
    keys = [(g, name) for g, group in enumerate(groups) for name in group.filters]
    seeds = [groups[g].seeds(name) for g, name in keys]
    covariance = np.zeros((len(keys), len(keys)))
    of_seeds: list[np.ndarray] = [np.zeros(len(each)) for each in seeds]
    for task, metric in measures.items():
        tables = [groups[g].scores(name, task, metric, own) for (g, name), own in zip(keys, seeds, strict=True)]
        covariance += _item_covariance(tables, _common_seeds(groups, keys, seeds)) / len(measures) ** 2
        of_seeds = [
            sofar + table.mean(axis=1, dtype=np.float64) / len(measures) for sofar, table in zip(of_seeds, tables, strict=True)
        ]
    rng = np.random.default_rng(seed)
    found = normal_root(covariance) @ rng.standard_normal((len(keys), draws))
    found += _seed_draws([groups[g].compute[:2] for g, _ in keys], seeds, of_seeds, draws, rng)
    means = np.array([each.mean() for each in of_seeds])
    return Joint(keys, means, means[:, None] + found)


def _common_seeds(
    groups: Sequence[Group], keys: Sequence[tuple[int, str]], seeds: Sequence[tuple[int, ...]]
) -> list[tuple[np.ndarray, list[int]]]:
    """Per scale, model and seed: the results that have it, and which of their seeds it is."""
    found: dict[tuple[str, str, int], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for at, ((g, _), own) in enumerate(zip(keys, seeds, strict=True)):
        for place, each in enumerate(own):
            rows, places = found[(*groups[g].compute[:2], each)]
            rows.append(at)
            places.append(place)
    return [(np.array(rows), places) for rows, places in found.values()]


def _item_covariance(tables: Sequence[np.ndarray], common: Sequence[tuple[np.ndarray, list[int]]]) -> np.ndarray:
    """(R, R): covariance of the results' means that comes of the items, without what the seeds' part holds."""
    n, n_results = tables[0].shape[1], len(tables)
    n_seeds = np.array([len(table) for table in tables], np.float64)
    means = [table.mean(axis=1, dtype=np.float64)[:, None] for table in tables]
    items, rest, shared = np.zeros((3, n_results, n_results))
    for rows, _ in common:
        shared[np.ix_(rows, rows)] += 1
    for start in range(0, n, _ITEMS_AT_ONCE):
        left = [table[:, start : start + _ITEMS_AT_ONCE] - mean for table, mean in zip(tables, means, strict=True)]
        effects = np.stack([each.mean(axis=0) for each in left])
        items += effects @ effects.T
        for rows, places in common:
            own = np.stack([left[row][place] for row, place in zip(rows, places, strict=True)]) - effects[rows]
            rest[np.ix_(rows, rows)] += own @ own.T
    rest *= shared / np.maximum(shared - 1, 1) / (n_seeds[:, None] * n_seeds)
    return np.asarray((items - rest) / n**2)


def _seed_draws(
    runs: Sequence[tuple[str, str]],
    seeds: Sequence[tuple[int, ...]],
    means: Sequence[np.ndarray],
    draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(R, B): the seeds' part. `runs`: scale and model of each result; `means`: of each of its seeds."""
    found = np.zeros((len(runs), draws))
    normal = {
        key: rng.standard_normal(draws) for key in sorted({(run, s) for run, own in zip(runs, seeds, strict=True) for s in own})
    }
    uniform = {run: rng.random(draws) for run in sorted(set(runs))}
    for at, (run, own, of_seed) in enumerate(zip(runs, seeds, means, strict=True)):
        freedom = len(own) - 1
        if freedom:
            chi = np.sqrt(chdtri(freedom, uniform[run]) / freedom)
            together = sum(normal[run, s] * (mean - of_seed.mean()) for s, mean in zip(own, of_seed, strict=True))
            found[at] = together / np.sqrt(len(own) * freedom) / chi
    return found

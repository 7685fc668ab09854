"""What difference a design can detect: the spread over seeds and items, measured or assumed, in; the smallest difference out."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluate.results import Result
from schemas.rankings import BASELINE

POWER = 0.8
LEVEL = 0.05  # two-sided, of the interval and of the corrected p; half of it a side
# Where nothing was measured. The spread over seeds: of differences from no_filter in the demo's ranking, root mean square. Items:
# a difference of two hits or misses (1, 0, -1), either model right on half of them and the two alike in half of what is left,
# the same for every seed. Errs to the larger side.
ASSUMED_SEED_SD = 0.025
ASSUMED_ITEM_VARIANCE = 0.25

Table = dict[str, np.ndarray]  # task → (S, n) differences, S seeds by n items


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Of a difference of two filters on the average over tasks: its spread over seeds, and its variance by the choice of items.

    `item_variance` is that of the mean over all items of all tasks. `source` says where both are from.
    """

    seed_sd: float
    item_variance: float
    source: str


def assumed_noise(items: Mapping[str, int]) -> Noise:
    """Of models that nobody has trained yet. `items`: task → how many items it has."""
    variance = sum(ASSUMED_ITEM_VARIANCE / n for n in items.values()) / max(1, len(items)) ** 2
    return Noise(
        seed_sd=ASSUMED_SEED_SD,
        item_variance=variance,
        source=f"assumed: {100 * ASSUMED_SEED_SD:g} points of spread over seeds, as in the demo's ranking, "
        f"and the binomial noise of {sum(items.values()):,} test items",
    )


def measured_noise(results: Iterable[Result], scale: str, samples_seen: int) -> Noise | None:
    """Of standing runs at the scale, those nearest in samples seen; None where no two filters share two seeds there."""
    by_compute: dict[tuple[str, int], list[Result]] = defaultdict(list)
    for result in results:
        if result.scale == scale and result.samples_seen:  # of published models nobody told what they saw
            by_compute[result.model, result.samples_seen].append(result)
    for model, seen in sorted(by_compute, key=lambda key: abs(math.log(key[1] / samples_seen))):
        tables = _differences(by_compute[model, seen])
        if tables:
            told = f"measured on {len(tables)} differences at {scale}, {seen:,} samples seen"
            return replace(_pooled(tables), source=told)
    return None


def detectable(noise: Noise, *, seeds: int, comparisons: int, power: float = POWER) -> float:
    """The smallest true difference that `rank` calls better than no_filter with that power, as a fraction; inf for one seed.

    The mean difference over S seeds has the standard error s = sqrt(sd² / S + v), v the items' variance. It is told as better
    where its 95 % interval is above 0 and its one-sided p holds at 2.5 % after Holm's correction, whose first and hardest step
    divides by the number m of comparisons: level a = 0.025 / m. The spread sd is estimated from S seeds, v from many
    items, so difference / s is a noncentral t with Satterthwaite's (1946) degrees of freedom
    f = s⁴ / ((sd² / S)² / (S - 1)), its noncentrality d / s at a true difference d. Returned is the d at which
    P(t'(f, d / s) > t(f, 1 - a)) is the power.
    """
    from scipy.special import nctdtrinc, stdtrit

    if seeds < 2:
        return math.inf
    by_seeds = noise.seed_sd**2 / seeds
    variance = by_seeds + noise.item_variance
    if variance == 0:
        return 0.0
    freedom = variance**2 / (by_seeds**2 / (seeds - 1)) if by_seeds > 0 else math.inf
    freedom = min(freedom, 1e6)  # normal from there on, and these functions lose digits
    level = LEVEL / 2 / max(1, comparisons)
    away = nctdtrinc(freedom, 1 - power, stdtrit(freedom, 1 - level))
    return float(away * math.sqrt(variance))


def _differences(results: Sequence[Result]) -> list[Table]:
    """Each filter's main scores minus no_filter's (the first filter's where there is none), if they share two seeds or more."""
    scores: dict[str, dict[str, dict[int, np.ndarray]]] = defaultdict(lambda: defaultdict(dict))
    for result in results:
        scores[result.filter][result.task][result.seed] = result.items[result.main_metric].astype(np.float64)
    base = BASELINE if BASELINE in scores else min(scores)
    tables = [_minus(tasks, scores[base]) for name, tasks in sorted(scores.items()) if name != base]
    return [table for table in tables if table]


def _minus(mine: Mapping[str, dict[int, np.ndarray]], theirs: Mapping[str, dict[int, np.ndarray]]) -> Table:
    """Over the tasks and seeds that both have; empty where these are less than one and two."""
    tasks = [task for task in mine if task in theirs]
    seeds = sorted(set.intersection(*({*of[task]} for task in tasks for of in (mine, theirs)))) if tasks else []
    if len(seeds) < 2:
        return {}
    return {task: np.stack([mine[task][seed] - theirs[task][seed] for seed in seeds]) for task in tasks}


def _pooled(tables: Sequence[Table]) -> Noise:
    """Mean variances over all differences, those over seeds weighted by their degrees of freedom."""
    by_seed = [np.mean([scores.mean(axis=1) for scores in table.values()], axis=0) for table in tables]
    freedoms = [len(means) - 1 for means in by_seed]
    variances = [float(means.var(ddof=1)) for means in by_seed]
    pooled = sum(f * v for f, v in zip(freedoms, variances, strict=True)) / sum(freedoms)
    items = float(np.mean([_item_variance(table) for table in tables]))
    return Noise(seed_sd=math.sqrt(pooled), item_variance=items, source="")


def _item_variance(table: Table) -> float:
    """Of the mean over tasks by the choice of items alone: (MS_item - MS_rest) / (S n) in each task's (S, n) table."""
    return float(sum(map(_of_task, table.values()))) / len(table) ** 2


def _of_task(scores: np.ndarray) -> float:
    seeds, n = scores.shape
    if n < 2:
        return 0.0
    items = scores.mean(axis=0) - scores.mean()
    rest = scores - scores.mean(axis=1, keepdims=True) - items
    of_items = seeds * float((items**2).sum()) / (n - 1)
    of_rest = float((rest**2).sum()) / ((seeds - 1) * (n - 1))
    return float(max(0.0, of_items - of_rest) / (seeds * n))

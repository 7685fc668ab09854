"""The main metrics that DataComp takes of some sets in place of accuracy: a worst group's accuracy, F1, a Jaccard index.

Each is written as the mean of items, for intervals: a hit times a weight, which is 0 for what does not count. The worst group
is that of the model at hand.
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Metric → the metric of items whose mean is taken group by group; the least of these means is the score. WILDS (Koh et al. 2021)
# leaves the region "Other" of FMoW out by its name, which DataComp's files do not hold: there it is a region like the others.
WORST_OF = {"acc_worst_region": "acc1", "acc_wg": "acc1", "acc_top5_wg": "acc5"}
F1_MACRO = "F1-macro_all"
JACCARD = "jaccard_score_10-12"


def special_items(
    metric: str, items: Mapping[str, np.ndarray], *, truth: np.ndarray, answers: np.ndarray, groups: np.ndarray
) -> np.ndarray:
    """(n,) float32: what each item adds to a metric named above. truth, answers, groups: (n,) int."""
    found = f1_items(truth, answers) if metric == F1_MACRO else worst_group_items(items[WORST_OF[metric]], groups)
    return found.astype(np.float32)


def worst_group_items(hits: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) float64, whose mean is the least mean hit of a group: those of the other groups are 0."""
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    worst = int(np.argmin(np.bincount(group, hits) / counts))
    shares: np.ndarray = np.where(group == worst, hits * (len(hits) / counts[worst]), 0.0)
    return shares


def f1_items(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(n,) float64, whose mean is the mean F1 of the classes that are present: 2 × right ÷ (asked + answered) of each."""
    m = int(max(truth.max(), answers.max())) + 1
    asked, answered = np.bincount(truth, minlength=m), np.bincount(answers, minlength=m)
    weight = 2 * len(truth) / (np.count_nonzero(asked) * (asked + answered)[truth])
    shares: np.ndarray = np.where(truth == answers, weight, 0.0)
    return shares


def association_items(scores: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Metrics of n puzzles, under DataComp's names: each (n,) float32, its mean is the metric.

    Of a puzzle: scores (c,) float, of its candidates; wanted (c,) bool. As many candidates are chosen as are wanted, and the
    Jaccard index of the two sets is taken. jaccard_score_5-6 and _10-12 are means over puzzles with so many candidates.
    """
    jaccard = np.array([_jaccard(*puzzle) for puzzle in zip(scores, wanted, strict=True)])
    sizes = np.array([len(each) for each in wanted])
    items = {"avg_jaccard_score": jaccard}
    for name, chosen in (("jaccard_score_5-6", sizes <= 6), (JACCARD, sizes >= 10)):
        if chosen.any():
            items[name] = np.where(chosen, jaccard * (len(jaccard) / chosen.sum()), 0.0)
    return {name: values.astype(np.float32) for name, values in items.items()}


def _jaccard(scores: np.ndarray, wanted: np.ndarray) -> float:
    chosen = np.zeros(len(scores), bool)
    chosen[np.argsort(scores, kind="stable")[len(scores) - int(wanted.sum()) :]] = True
    return float((chosen & wanted).sum() / (chosen | wanted).sum())

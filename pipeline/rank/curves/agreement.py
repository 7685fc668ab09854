"""Whether one compute ranks filters as another does: Kendall's τ-b between rankings, and the pairs that both tell apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.rank.bootstrap import LEVEL
from pipeline.rank.curves.joint import Joint
from pipeline.rank.runs import Compute, Group

Row = dict[str, Any]


def compared(groups: Sequence[Group]) -> list[tuple[int, int]]:
    """(less, more): each smaller number of samples with the run's last, and the ends of different scales or models."""
    last: dict[tuple[str, str], int] = {}
    for at, group in enumerate(groups):
        own = group.compute[:2]
        if own not in last or group.compute.samples_seen > groups[last[own]].compute.samples_seen:
            last[own] = at
    within = [(at, last[group.compute[:2]]) for at, group in enumerate(groups) if last[group.compute[:2]] != at]
    ends = sorted(last.values(), key=lambda at: _spent(groups[at]))
    return within + [(a, b) for i, a in enumerate(ends) for b in ends[i + 1 :]]


def agreement(groups: Sequence[Group], joint: Joint, pairs: Mapping[Compute, Sequence[Row]], less: int, more: int) -> Row | None:
    """τ-b between the rankings at two computes with its 95 % interval, over the filters that both have; None below three.

    `pairs`: the rows of PAIRS at each compute. τ is over all pairs of filters, told apart or not; where most are ties it is
    mostly noise, so those that are told apart at both computes are counted, and how many of them stand in the same order.
    """
    filters = sorted({*groups[less].filters} & {*groups[more].filters})
    if len(filters) < 3:
        return None
    one, other = (joint.rows(at, filters) for at in (less, more))
    drawn = tau_b(joint.draws[one].T, joint.draws[other].T)
    found = float(tau_b(joint.means[one][None], joint.means[other][None])[0])
    low, high = np.quantile(drawn[np.isfinite(drawn)], [LEVEL / 2, 1 - LEVEL / 2]) if np.isfinite(drawn).any() else (None, None)
    ahead, ahead_more = (_told_apart(pairs[groups[at].compute], {*filters}) for at in (less, more))
    both = {frozenset(pair) for pair in ahead} & {frozenset(pair) for pair in ahead_more}
    return {
        "less": groups[less].compute._asdict(),
        "more": groups[more].compute._asdict(),
        "filters": len(filters),
        "tau_b": found if np.isfinite(found) else None,
        "tau_b_low": None if low is None else float(low),
        "tau_b_high": None if high is None else float(high),
        "pairs": len(filters) * (len(filters) - 1) // 2,
        "told_apart_at_less": len(ahead),
        "told_apart_at_more": len(ahead_more),
        "told_apart_at_both": len(both),
        "same_order": len(ahead & ahead_more),
    }


def tau_b(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(B,): Kendall's τ-b (1945) of each row of x and y, (B, K); nan where all of a row is tied."""
    first, second = np.triu_indices(x.shape[1], 1)
    sign_x, sign_y = (np.sign(np.round(each[:, first] - each[:, second], 12)) for each in (x, y))
    untied = np.sqrt((sign_x != 0).sum(axis=1) * (sign_y != 0).sum(axis=1).astype(np.float64))
    together = (sign_x * sign_y).sum(axis=1)
    return np.asarray(np.divide(together, untied, out=np.full(len(x), np.nan), where=untied > 0))


def _told_apart(pairs: Sequence[Row], filters: set[str]) -> set[tuple[str, str]]:
    """(ahead, behind) of the pairs that are no tie."""
    return {(p["filter"], p["other"]) for p in pairs if p["verdict"] != "tie" and {p["filter"], p["other"]} <= filters}


def _spent(group: Group) -> float:
    return group.compute.samples_seen * (group.flops_per_sample or 1.0)

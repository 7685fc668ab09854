"""Where the curves of two filters cross: which is ahead before, which after, and in how many draws they do."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from pipeline.rank.bootstrap import LEVEL
from pipeline.rank.curves.scaling import FURTHER, Scaling

_GRID = 193  # compute, evenly in the logarithm
_NOTHING = 1e-12  # difference of errors that is rounding

Row = dict[str, Any]


def crossing_rows(scalings: Sequence[Scaling], measure: tuple[str, str], unit: str) -> list[Row]:
    """The rows of CROSSINGS among the filters of one model, by compute. `scalings`: of the same model and measure."""
    if len(scalings) < 2:
        return []
    first = min(s.points.compute[0] for s in scalings)
    last = FURTHER * max(s.points.compute[-1] for s in scalings)
    grid = np.geomspace(first, last, _GRID)
    curves = [scaling.curve.at(grid)[0] for scaling in scalings]
    bands = [scaling.band.at(grid).astype(np.float32) for scaling in scalings]
    rows = []
    for i, j in combinations(range(len(scalings)), 2):
        inside = _inside(grid, scalings[i], scalings[j])
        difference = (curves[i] - curves[j])[None, inside]
        for rising in (True, False):
            at = _first_crossing(np.log(grid[inside]), difference, rising=rising)[0]
            if np.isfinite(at):
                drawn = _first_crossing(np.log(grid[inside]), bands[i][:, inside] - bands[j][:, inside], rising=rising)
                pair = (scalings[i], scalings[j]) if rising else (scalings[j], scalings[i])
                rows.append(_row(pair, measure, unit, at, drawn))
    return sorted(rows, key=lambda row: (row["compute"], row["before"], row["after"]))


def _inside(grid: np.ndarray, one: Scaling, other: Scaling) -> slice:
    """The part of the grid in which crossings of the two are looked for."""
    low = max(one.points.compute[0], other.points.compute[0])
    high = FURTHER * min(one.points.compute[-1], other.points.compute[-1])
    return slice(int(np.searchsorted(grid, low * (1 - 1e-9))), int(np.searchsorted(grid, high * (1 + 1e-9))))


def _first_crossing(x: np.ndarray, differences: np.ndarray, *, rising: bool) -> np.ndarray:
    """(B,): where each row (B, G) of differences first goes from below 0 to above it (or from above to below); inf if nowhere."""
    signed = np.where(np.abs(differences) <= _NOTHING, 0.0, differences if rising else -differences)
    before, after = signed[:, :-1], signed[:, 1:]
    crosses = (before < 0) & (after >= 0) & (signed.max(axis=1, keepdims=True) > 0)
    at = crosses.argmax(axis=1)
    rows = np.arange(len(signed))
    below, above = before[rows, at], after[rows, at]
    share = np.divide(-below, above - below, out=np.zeros_like(below), where=crosses[rows, at])
    found = x[at] + share * (x[at + 1] - x[at])
    return np.where(crosses[rows, at], found, np.inf)


def _row(pair: tuple[Scaling, Scaling], measure: tuple[str, str], unit: str, at: float, drawn: np.ndarray) -> Row:
    crossing = drawn[np.isfinite(drawn)]
    low, high = np.exp(np.quantile(crossing, [LEVEL / 2, 1 - LEVEL / 2])) if len(crossing) else (None, None)
    before, after = (each.points for each in pair)
    return {
        "before": before.filter,
        "after": after.filter,
        "model": before.model,
        "task": measure[0],
        "metric": measure[1],
        "compute_unit": unit,
        "compute": float(np.exp(at)),
        "compute_low": None if low is None else float(low),
        "compute_high": None if high is None else float(high),
        "probability": len(crossing) / len(drawn),
        "extrapolated": bool(np.exp(at) > min(before.compute[-1], after.compute[-1])),
    }

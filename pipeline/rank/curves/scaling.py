"""Error against compute: a curve per filter with its band, the largest point held out and predicted.

A ranking holds at its compute only (small and large scale of DataComp's own figures rank filters differently, and repeated data
loses worth: Goyal et al. 2024), so what is compared across compute is curves (Cherti et al. 2023; Nezhurina, Cherti and Jitsev
2025). Over several architectures the curve is that of the lower envelope: a point counts where none of less compute has a
lower error. Bands come of the draws of pipeline.rank.curves.joint, the same seeds and items for all filters and points.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.rank.bootstrap import LEVEL
from pipeline.rank.curves.fit import Curves, Form, fit
from pipeline.rank.curves.joint import Joint
from pipeline.rank.runs import Group
from schemas.scalings import ENVELOPE

FURTHER = 10.0  # times the largest compute: how far curves are drawn, and crossings looked for
_FLOOR_NEEDS = 4  # points, the held-out one not counted: three numbers are fitted
_ON_CURVE = 33  # points at which a curve is told
_LEAST_SHARE = 0.05  # of the error measured: where draws of few seeds would go to 0 and below
_BAND = [LEVEL / 2, 1 - LEVEL / 2]

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Points:
    """The errors of one filter at ascending compute, and draws of them."""

    filter: str
    model: str
    scale: str
    n_seeds: int
    repeats: float  # at the largest point
    compute: np.ndarray  # (P,)
    errors: np.ndarray  # (P,)
    draws: np.ndarray  # (B, P)


@dataclass(frozen=True)
class Scaling:
    """The fitted curve of one filter: `curve` of the errors measured (one row), `band` of the draws."""

    points: Points
    form: Form
    curve: Curves
    band: Curves

    @cached_property
    def compute(self) -> np.ndarray:
        """Where the curve is told: from the smallest point to FURTHER times the largest."""
        return np.geomspace(self.points.compute[0], FURTHER * self.points.compute[-1], _ON_CURVE)


def compute_unit(groups: Sequence[Group]) -> str:
    """In what compute is counted: flops where every run tells what a sample costs it, else samples."""
    return "samples" if any(group.flops_per_sample is None for group in groups) else "flops"


def points_of(groups: Sequence[Group], joint: Joint) -> list[Points]:
    """The points of each filter and model, then of each filter over all models, where there are two of different compute.

    Over several models only flops can be compared: without them there is no envelope.
    """
    by_model: dict[tuple[str, str], list[int]] = defaultdict(list)
    for at, (g, name) in enumerate(joint.keys):
        by_model[groups[g].compute.model, name].append(at)
    if compute_unit(groups) == "flops" and len({model for model, _ in by_model}) > 1:
        for at, (_, name) in enumerate(joint.keys):
            by_model[ENVELOPE, name].append(at)
    found = [_points(groups, joint, model, rows) for (model, _), rows in by_model.items()]
    return [points for points in found if len(np.unique(points.compute)) > 1]


def scaling_of(points: Points) -> Scaling:
    """The curve through all points, and those through their draws."""
    form: Form = "power_floor" if len(np.unique(points.compute)) - 1 >= _FLOOR_NEEDS else "power"
    curve = fit(points.compute, points.errors[None], form)
    return Scaling(points, form, curve, fit(points.compute, points.draws, form))


def scaling_row(scaling: Scaling, measure: tuple[str, str], unit: str) -> Row:
    """The row of SCALINGS."""
    points, curve, band = scaling.points, scaling.curve, scaling.band
    low, high = np.quantile(band.at(scaling.compute), _BAND, axis=0)
    alpha_low, alpha_high = np.quantile(band.alpha, _BAND)
    return {
        "filter": points.filter,
        "scale": points.scale,
        "model": points.model,
        "task": measure[0],
        "metric": measure[1],
        "n_points": len(points.compute),
        "n_seeds": points.n_seeds,
        "compute_unit": unit,
        "form": scaling.form,
        "a": float(curve.a[0] * curve.unit ** curve.alpha[0]),
        "alpha": float(curve.alpha[0]),
        "e_inf": float(curve.floor[0]),
        "alpha_low": float(alpha_low),
        "alpha_high": float(alpha_high),
        "points_compute": points.compute.tolist(),
        "points_error": points.errors.tolist(),
        "curve_compute": scaling.compute.tolist(),
        "curve_error": curve.at(scaling.compute)[0].tolist(),
        "curve_low": low.tolist(),
        "curve_high": high.tolist(),
        **_held_out(points, scaling.form),
        "repeats": points.repeats,
    }


def _held_out(points: Points, form: Form) -> Row:
    """What the curve without the largest point says of it. The interval is that of the error to be measured, not of the curve.

    The draws of the held-out point and of the prediction share their seeds and items, so what moves both is not counted.
    """
    names = ("held_out_compute", "held_out_error", "predicted", "predicted_low", "predicted_high")
    if len(np.unique(points.compute[:-1])) < 2 or points.compute[-1] == points.compute[-2]:
        return dict.fromkeys(names)
    rest, last = points.compute[:-1], points.compute[-1:]
    predicted = fit(rest, points.errors[None, :-1], form).at(last)[0, 0]
    drawn = fit(rest, points.draws[:, :-1], form).at(last)[:, 0]
    misses = (points.draws[:, -1] - points.errors[-1]) - (drawn - predicted)
    low, high = np.clip(predicted + np.quantile(misses, _BAND), 0, 1)
    values = (last[0], points.errors[-1], predicted, low, high)
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _points(groups: Sequence[Group], joint: Joint, model: str, rows: Sequence[int]) -> Points:
    unit = compute_unit(groups)
    spent = {at: _compute(groups[joint.keys[at][0]], unit) for at in rows}
    ordered = sorted(rows, key=lambda at: (spent[at], -joint.means[at]))
    if model == ENVELOPE:
        ordered = _lower_envelope(ordered, {at: 1 - float(joint.means[at]) for at in rows})
    of_group = [groups[joint.keys[at][0]] for at in ordered]
    name = joint.keys[ordered[0]][1]
    errors = 1 - joint.means[ordered]
    least = np.maximum(_LEAST_SHARE * errors, 1e-6)
    return Points(
        filter=name,
        model=model,
        scale="+".join(dict.fromkeys(group.compute.scale for group in of_group)),
        n_seeds=min(len(group.seeds(name)) for group in of_group),
        repeats=of_group[-1].repeats(name),
        compute=np.array([spent[at] for at in ordered]),
        errors=np.maximum(errors, 1e-6),
        draws=np.clip(1 - joint.draws[ordered].T, least, 1.0),
    )


def _compute(group: Group, unit: str) -> float:
    return group.compute.samples_seen * ((group.flops_per_sample or 1.0) if unit == "flops" else 1.0)


def _lower_envelope(ordered: Sequence[int], errors: Mapping[int, float]) -> list[int]:
    """Of results by ascending compute, those with a lower error than all of less compute."""
    kept: list[int] = []
    for at in ordered:
        if not kept or errors[at] < errors[kept[-1]]:
            kept.append(at)
    return kept

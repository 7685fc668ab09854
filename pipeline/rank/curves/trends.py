"""What several computes say together: how well their rankings agree, the curves of error, and where these cross."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.rank.contrasts import MAIN
from pipeline.rank.curves.agreement import agreement, compared
from pipeline.rank.curves.crossings import crossing_rows
from pipeline.rank.curves.joint import joint_draws
from pipeline.rank.curves.scaling import Scaling, compute_unit, points_of, scaling_of, scaling_row
from pipeline.rank.runs import Compute, Group
from schemas.rankings import AVERAGE

MOST_DRAWS = 1000  # of curves: each draw is fitted

Row = dict[str, Any]


@dataclass(frozen=True)
class Trends:
    """Rows of SCALINGS and CROSSINGS, and facts for the manifest."""

    scalings: list[Row] = field(default_factory=list)
    crossings: list[Row] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=lambda: {"agreement": []})


def trends_of(groups: Sequence[Group], pairs: Sequence[Row], *, draws: int, seed: int) -> Trends:
    """The trends over all computes on the tasks that all of them have; nothing where there is one compute or no such task."""
    groups = [group for group in groups if group.compute.samples_seen]  # of published models nobody told what they saw
    if len(groups) < 2:
        return Trends()
    tasks = {task: metric for task, metric in groups[0].tasks.items() if all(g.tasks.get(task) == metric for g in groups)}
    if not tasks:
        return Trends()
    found, draws = Trends(), min(draws, MOST_DRAWS)
    by_compute = _by_compute(groups, pairs)
    single = {(task, metric): {task: metric} for task, metric in tasks.items()}
    for measure, averaged in {(AVERAGE, MAIN): tasks, **single}.items():
        joint = joint_draws(groups, averaged, draws=draws, seed=seed)
        if measure[0] == AVERAGE:
            told = [agreement(groups, joint, by_compute, less, more) for less, more in compared(groups)]
            found.facts["agreement"] = [each for each in told if each]
        scalings = [scaling_of(points) for points in points_of(groups, joint)]
        found.scalings.extend(scaling_row(each, measure, compute_unit(groups)) for each in scalings)
        for of_model in _by_model(scalings):
            found.crossings.extend(crossing_rows(of_model, measure, compute_unit(groups)))
    found.facts.update(_held_out(found.scalings), tasks_of_trends=sorted(tasks))
    return found


def _held_out(scalings: Sequence[Row]) -> Row:
    """How many held-out points on the average there are, and how many lie where their curve said."""
    held = [row for row in scalings if row["task"] == AVERAGE and row["held_out_error"] is not None]
    inside = [row for row in held if row["predicted_low"] <= row["held_out_error"] <= row["predicted_high"]]
    return {"held_out_points": len(held), "held_out_inside": len(inside)}


def _by_compute(groups: Sequence[Group], pairs: Sequence[Row]) -> dict[Compute, list[Row]]:
    found: dict[Compute, list[Row]] = {group.compute: [] for group in groups}
    for pair in pairs:
        compute = Compute(pair["scale"], pair["model"], pair["samples_seen"])
        if compute in found:
            found[compute].append(pair)
    return found


def _by_model(scalings: Sequence[Scaling]) -> list[list[Scaling]]:
    found: dict[str, list[Scaling]] = defaultdict(list)
    for scaling in scalings:
        found[scaling.points.model].append(scaling)
    return [*found.values()]

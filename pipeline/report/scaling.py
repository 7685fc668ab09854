"""Scaling fits and crossings → what the page shows: a plot per task and metric, and tables of what was predicted."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline import io
from pipeline.report.read import Root, read_rows
from pipeline.report.scaling_charts import scaling_plot
from pipeline.report.text import words
from pipeline.report.verdict import signed
from schemas.rankings import AVERAGE
from schemas.scalings import CROSSINGS, SCALINGS

Row = dict[str, Any]

MOST_CROSSINGS = 12
MOST_PLOTS = 4  # the average first; the tables tell of every task


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """One task and metric of one model: the plot, and a line per filter."""

    title: str
    plot: Markup
    lines: tuple[dict[str, str], ...]
    unit: str


def scaling(root: Root) -> dict[str, Any]:
    """What `rank` fitted; empty where it fitted nothing. Raises UserError for files that are not those tables."""
    folder = io.join(root.path, "7_ranking")
    fits = read_rows(io.join(folder, "scalings.parquet"), SCALINGS.names)
    crossings = read_rows(io.join(folder, "crossings.parquet"), CROSSINGS.names)
    groups, random = _groups(fits), {row["filter"] for row in root.ranking if row["is_random"]}
    return {
        "plots": [_scaling(group, random) for group in groups[:MOST_PLOTS]],
        "left_out": len(groups[MOST_PLOTS:]),
        "crossings": _crossings([row for row in crossings if row["task"] == AVERAGE]),
        "crossings_of_tasks": _crossings([row for row in crossings if row["task"] != AVERAGE]),
        "fewest_points": min((fit["n_points"] for fit in fits), default=0),
        "points": len({row["samples_seen"] for row in root.ranking}),
        "agreements": agreements(root),
        "fitted": bool(fits),
    }


def agreements(root: Root) -> list[dict[str, str]]:
    """Per two computes how alike they order the filters, Kendall's τ-b with its interval, as `rank` tells it in its facts."""
    lists = (value for manifest in root.of("rank") for fact in _dicts(manifest.facts.values()) for value in fact.values())
    rows = (row for value in lists if isinstance(value, list) for row in _dicts(value) if {"less", "more", "tau_b"} <= row.keys())
    return [_agreement(row) for row in rows]


def _agreement(row: Row) -> dict[str, str]:
    tau, low, high = (_number_or_none(row.get(key)) for key in ("tau_b", "tau_b_low", "tau_b_high"))
    both, same = row.get("told_apart_at_both"), row.get("same_order")
    return {
        "less": _compute(row["less"]),
        "more": _compute(row["more"]),
        "filters": str(row.get("filters", "–")),
        "tau": "–" if tau is None else signed(tau, 2),
        "interval": "–" if low is None or high is None else f"{signed(low, 2)} to {signed(high, 2)}",
        "same_order": "–" if both is None else f"{same} of {both}",
    }


def _compute(told: Any) -> str:
    if not isinstance(told, dict):
        return str(told)
    seen = told.get("samples_seen")
    return f"{told.get('scale')}, {told.get('model')}, {f'{seen:,}' if isinstance(seen, int) else seen} samples"


def _number_or_none(told: Any) -> float | None:
    return told if isinstance(told, int | float) else None


def _dicts(values: Iterable[Any]) -> Iterator[dict[str, Any]]:
    return (value for value in values if isinstance(value, dict))


def _groups(fits: Sequence[Row]) -> list[list[Row]]:
    """Fits that belong in one plot; the average and what goes over most scales first."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for fit in fits:
        groups.setdefault(tuple(fit[key] for key in ("task", "metric", "model", "scale", "compute_unit")), []).append(fit)
    return [groups[key] for key in sorted(groups, key=lambda k: (k[0] != AVERAGE, -k[3].count("+"), k))]


def _scaling(fits: Sequence[Row], random: Collection[str]) -> Scaling:
    first = fits[0]
    ordered = sorted(fits, key=lambda fit: (fit["curve_error"][-1:] or [1.0], fit["filter"]))  # best at most compute first
    curves = [{**fit, "is_random": fit["filter"] in random} for fit in ordered]
    said = "; ".join(f"{fit['filter']} exponent {fit['alpha']:.3f}" for fit in ordered)
    title = f"{first['task']}, {words(first['metric'])}, scale {first['scale']}, model {first['model']}"
    return Scaling(
        title=title,
        plot=scaling_plot(curves, f"{title}: error against compute, with fitted curves; {said}"),
        lines=tuple(map(_line, ordered)),
        unit=first["compute_unit"],
    )


def _line(fit: Row) -> dict[str, str]:
    held_out = fit["held_out_error"] is not None and fit["predicted"] is not None
    low, high = fit["predicted_low"], fit["predicted_high"]
    return {
        "filter": fit["filter"],
        "points": str(fit["n_points"]),
        "alpha": _number(fit["alpha"]),
        "alpha_interval": "–" if fit["alpha_low"] is None else f"{_number(fit['alpha_low'])} to {_number(fit['alpha_high'])}",
        "floor": f"{100 * fit['e_inf']:.1f}" if fit["form"] == "power_floor" else "none",
        "repeats": f"{fit['repeats']:.1f}",
        "predicted": f"{100 * fit['predicted']:.1f}" if held_out else "–",
        "predicted_interval": "–" if not held_out or low is None else f"{100 * low:.1f} – {100 * high:.1f}",
        "measured": f"{100 * fit['held_out_error']:.1f}" if held_out else "–",
        "inside": "" if not held_out or low is None else "yes" if low <= fit["held_out_error"] <= high else "no",
    }


def _number(value: float) -> str:
    """With three digits, and a minus sign that is no hyphen."""
    return f"{value:.3f}".replace("-", "−")


def _amount(compute: float) -> str:
    """An amount of compute with two digits: 3,000, or 2.1e+16 where it is large."""
    return f"{float(f'{compute:.2g}'):,.0f}" if compute < 1e7 else f"{compute:.2g}"


def _crossings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The MOST_CROSSINGS surest, most sure first."""
    return [
        _crossing(row)
        for row in sorted(rows, key=lambda row: (-row["probability"], row["before"], row["after"]))[:MOST_CROSSINGS]
    ]


def _crossing(row: Row) -> dict[str, Any]:
    interval = "–" if row["compute_low"] is None else f"{_amount(row['compute_low'])} – {_amount(row['compute_high'])}"
    return {**row, "at": _amount(row["compute"]), "interval": interval, "share": f"{100 * row['probability']:.0f}"}

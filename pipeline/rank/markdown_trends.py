"""The part of ranking.md that is over several computes: agreement of rankings, fitted curves, and where they cross."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from pipeline.rank.curves.trends import Trends
from pipeline.rank.names import cell, compute_text
from schemas.rankings import AVERAGE

Row = dict[str, Any]

_LIKELY = 0.5  # share of draws from which a crossing is printed; all are in crossings.parquet


def trend_lines(trends: Trends) -> list[str]:
    """Markdown lines; none where there was one compute only."""
    scalings, crossings = ([row for row in rows if row["task"] == AVERAGE] for rows in (trends.scalings, trends.crossings))
    return _agreement_lines(trends.facts["agreement"]) + _scaling_lines(scalings) + _crossing_lines(crossings, len(scalings))


def _agreement_lines(agreements: Sequence[Row]) -> list[str]:
    if not agreements:
        return []
    lines = [
        "## Does less compute rank as more does?",
        "",
        "Kendall's τ-b between the rankings on the average: 1 the same order, 0 unrelated, −1 the reverse. Where few pairs",
        "are told apart, τ is mostly noise: of those told apart at both computes, the last column counts the ones in the same",
        "order.",
        "",
        "| compute | compared with | filters | τ-b | 95 % | pairs told apart | in the same order |",
        "|---|---|---:|---:|---|---|---|",
    ]
    return [*lines, *map(_agreement_line, agreements), ""]


def _agreement_line(row: Row) -> str:
    told = f"{row['told_apart_at_less']} and {row['told_apart_at_more']} of {row['pairs']}"
    both = f"{row['same_order']} of {row['told_apart_at_both']}" if row["told_apart_at_both"] else "no pair to say so"
    interval = "–" if row["tau_b_low"] is None else f"[{row['tau_b_low']:.2f}, {row['tau_b_high']:.2f}]"
    tau = "all tied" if row["tau_b"] is None else f"{row['tau_b']:.2f}"
    cells = [compute_text(row["less"]), compute_text(row["more"]), str(row["filters"]), tau, interval, told, both]
    return f"| {' | '.join(cells)} |".replace("-0", "−0").replace("-1", "−1")


def _scaling_lines(scalings: Sequence[Row]) -> list[str]:
    if not scalings:
        return []
    lines = [
        "## Error against compute, on the average",
        "",
        "E(C) = a · C^−α + E∞ (E∞ from five points on). The largest point is left out of a second fit and predicted by it;",
        "`missed` is a prediction that the measured error does not bear out, and its curve one not to extrapolate. In percent.",
        "",
    ]
    for (model, unit), group in groupby(scalings, key=lambda row: (row["model"], row["compute_unit"])):
        rows = list(group)
        fewest = min(row["n_seeds"] for row in rows)
        lines += [f"### {cell(model)}, compute in {unit}", ""]
        lines += ["**One seed only: bands cover the test items, not what another seed would give.**", ""] if fewest < 2 else []
        lines += [
            "| filter | points | α | 95 % | E∞ | largest point | predicted | 95 % | repeats there |",
            "|---|---:|---:|---|---:|---:|---:|---|---:|",
            *map(_scaling_line, rows),
            "",
        ]
    return lines


def _scaling_line(row: Row) -> str:
    floor = f"{100 * row['e_inf']:.1f}" if row["form"] == "power_floor" else "–"
    held = row["held_out_error"] is not None
    inside = held and row["predicted_low"] <= row["held_out_error"] <= row["predicted_high"]
    cells = [
        cell(row["filter"]),
        str(row["n_points"]),
        f"{row['alpha']:.3f}",
        f"[{row['alpha_low']:.3f}, {row['alpha_high']:.3f}]",
        floor,
        f"{100 * row['held_out_error']:.1f}" if held else "–",
        f"{100 * row['predicted']:.1f}" if held else "–",
        f"[{100 * row['predicted_low']:.1f}, {100 * row['predicted_high']:.1f}]{'' if inside else ' missed'}" if held else "–",
        f"{row['repeats']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def _crossing_lines(crossings: Sequence[Row], n_curves: int) -> list[str]:
    if n_curves < 2:
        return []
    likely = [row for row in crossings if row["probability"] >= _LIKELY]
    lines = ["### Where curves cross", ""]
    if not likely:
        return [
            *lines,
            f"No two curves cross in half of the draws or more, up to 10 × the largest compute ({len(crossings)} do in fewer).",
            "",
        ]
    lines += [
        f"Crossings found in half of the draws or more; {len(crossings) - len(likely)} others are in crossings.parquet.",
        "",
        "| ahead before | ahead after | model | compute | 95 % | share of draws | |",
        "|---|---|---|---:|---|---:|---|",
    ]
    return [*lines, *map(_crossing_line, likely), ""]


def _crossing_line(row: Row) -> str:
    interval = f"[{row['compute_low']:.3g}, {row['compute_high']:.3g}]"
    cells = [
        cell(row["before"]),
        cell(row["after"]),
        cell(row["model"]),
        f"{row['compute']:.3g} {row['compute_unit']}",
        interval,
        f"{row['probability']:.2f}",
        "extrapolated" if row["extrapolated"] else "measured",
    ]
    return f"| {' | '.join(cells)} |"

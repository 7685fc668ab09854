"""Ranking rows → what the ranking section shows: per scale the plots, the tables and the learning curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from pipeline.rank.markdown import p_text
from pipeline.report.charts import curve, intervals, intervals_and_differences
from pipeline.report.verdict import Row, final_rows, signed, verdict
from schemas.rankings import AVERAGE


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One task and metric: its plot, and its table's lines, best filter first."""

    task: str
    metric: str
    plot: Markup
    lines: tuple[dict[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The ranking at one scale: the averages ahead of the tasks, and the learning curves where there are several points."""

    name: str
    model: str
    samples_seen: int
    averages: tuple[Panel, ...]
    tasks: tuple[Panel, ...]  # every metric of every task
    main: dict[str, Panel]  # by task, its main metric: what is drawn
    n_seeds: int  # the fewest that any filter has
    curves: tuple[Markup, ...]


def scales(rows: Sequence[Row]) -> tuple[Scale, ...]:
    """One Scale per training scale and model, the most samples seen first."""
    final = final_rows(rows)
    keys = sorted({(-row["samples_seen"], row["scale"], row["model"]) for row in final})
    return tuple(_scale(scale, model, -seen, rows, final) for seen, scale, model in keys)


def _scale(name: str, model: str, seen: int, rows: Sequence[Row], final: Sequence[Row]) -> Scale:
    mine = [row for row in final if (row["scale"], row["model"]) == (name, model)]
    history = [row for row in rows if (row["scale"], row["model"]) == (name, model)]
    order = _order(mine)
    # In the table's own order: `rank` puts the average first, and a task's main metric ahead of its others.
    panels = [_panel(task, metric, mine, order) for task, metric in dict.fromkeys((r["task"], r["metric"]) for r in mine)]
    tasks = [panel for panel in panels if panel.task != AVERAGE]
    averages = tuple(panel for panel in panels if panel.task == AVERAGE)
    return Scale(
        name=name,
        model=model,
        samples_seen=seen,
        averages=averages,
        tasks=tuple(tasks),
        main={panel.task: panel for panel in tasks[::-1]},
        n_seeds=min(row["n_seeds"] for row in mine),
        curves=tuple(filter(None, (_curve(panel, history, order) for panel in averages or panels))),
    )


def _order(rows: Sequence[Row]) -> list[str]:
    """Filters, best average first: the order of every plot and table of the scale, so that they can be compared."""
    average = [row for row in rows if row["task"] == AVERAGE] or list(rows)
    means: dict[str, list[float]] = {}
    for row in average:
        means.setdefault(row["filter"], []).append(row["mean"])
    return sorted({row["filter"] for row in rows}, key=lambda f: (-sum(means.get(f, [0])) / len(means.get(f, [0])), f))


def _panel(task: str, metric: str, rows: Sequence[Row], order: Sequence[str]) -> Panel:
    mine = sorted((r for r in rows if (r["task"], r["metric"]) == (task, metric)), key=lambda r: order.index(r["filter"]))
    label = f"{task}, {metric}: mean and 95 % interval of each filter"
    plot = intervals_and_differences(mine, label) if task == AVERAGE else intervals(mine, label)
    return Panel(task=task, metric=metric, plot=plot, lines=tuple(map(_line, mine)))


def _line(row: Row) -> dict[str, Any]:
    """A table line: the row's own values as they are printed, in percent."""
    compared = row["difference"] is not None
    return {
        "filter": row["filter"],
        "pairs": f"{row['rows']:,}",
        "repeats": f"{row['repeats']:.1f}",
        "seeds": row["n_seeds"],
        "mean": f"{100 * row['mean']:.1f}",
        "sd": "–" if row["sd"] is None else f"{100 * row['sd']:.1f}",
        "low": f"{100 * row['ci_low']:.1f}",
        "high": f"{100 * row['ci_high']:.1f}",
        "gain": signed(100 * row["difference"]) if compared else "–",
        "gain_low": signed(100 * row["difference_low"]) if compared else "",
        "gain_high": signed(100 * row["difference_high"]) if compared else "",
        "p": p_text(row["p_better_than_no_filter"]),
        "verdict": verdict(row),
        "control": _control(row),
    }


def _control(row: Row) -> dict[str, str] | None:
    """The comparison with the random subset of the filter's size; None where `rank` made none."""
    if row.get("control") is None or row["control_difference"] is None:
        return None
    low, high = row["control_difference_low"], row["control_difference_high"]
    return {
        "name": row["control"],
        "gain": signed(100 * row["control_difference"]),
        "interval": "–" if low is None else f"{signed(100 * low)} to {signed(100 * high)}",
        "p": p_text(row["p_better_than_control"]),
        "verdict": row["control_verdict"] or "–",
    }


def _curve(panel: Panel, history: Sequence[Row], order: Sequence[str]) -> Markup | None:
    mine = [row for row in history if (row["task"], row["metric"]) == (panel.task, panel.metric)]
    if len({row["samples_seen"] for row in mine}) < 2:
        return None
    return curve(mine, order, f"{panel.task}, {panel.metric}: mean and 95 % band against samples seen")

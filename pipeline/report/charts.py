"""Data → plots as SVG: the ranking with its intervals, the learning curve, the score histograms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from pipeline.report.scores import EDGES
from pipeline.report.svg import BLUE, GREEN, INK, MUTED, OCHRE, ORANGE, PANEL, PURPLE, draw_svg, plain
from pipeline.report.text import words
from pipeline.report.verdict import baseline_of, is_control, verdict
from schemas.rankings import BASELINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = dict[str, Any]

SERIES = ((BLUE, "o"), (GREEN, "s"), (PURPLE, "D"), (OCHRE, "^"), (ORANGE, "v"))
VERDICT_COLOURS = {"better": BLUE, "worse": ORANGE, "tie": MUTED, "–": MUTED, "baseline": INK}


def intervals(rows: Sequence[Row], label: str) -> Markup:
    """One task's ranking as points with 95 % intervals, best on top; the band is no_filter's interval."""
    return draw_svg(lambda figure: draw_means(figure.subplots(), rows), (4.95, _height_in(rows)), label)


def intervals_and_differences(rows: Sequence[Row], label: str) -> Markup:
    """The same, and beside it each filter's difference from no_filter, paired over seeds and test items."""

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
        draw_means(left, rows)
        draw_differences(right, rows)

    return draw_svg(draw, (10.2, _height_in(rows)), label)


def draw_means(axes: "Axes", rows: Sequence[Row]) -> None:
    """Draw `rows` (one per filter, in the order of the plot, best first), values in percent."""
    baseline = baseline_of(rows[0], rows)
    if baseline:
        axes.axvspan(100 * baseline["ci_low"], 100 * baseline["ci_high"], color=MUTED, alpha=0.13, linewidth=0)
        axes.axvline(100 * baseline["mean"], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    for at, row in enumerate(rows):
        _draw_interval(axes, at, row, ("mean", "ci_low", "ci_high"))
    axes.set_yticks(range(len(rows)), [plain(row["filter"]) for row in rows])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_color(MUTED if is_control(row) else INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    bare(axes, "x")
    axes.set_xlabel(f"{words(rows[0]['metric'])}, %")


def draw_differences(axes: "Axes", rows: Sequence[Row]) -> None:
    """Draw each row's difference from no_filter in points; a row without one stays empty."""
    axes.axvline(0, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    for at, row in enumerate(rows):
        if row["difference"] is not None:
            _draw_interval(axes, at, row, ("difference", "difference_low", "difference_high"))
    axes.set_yticks([])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.margins(x=0.08)
    bare(axes, "x")
    axes.set_xlabel("difference from no_filter, points")


def _draw_interval(axes: "Axes", at: int, row: Row, names: tuple[str, str, str]) -> None:
    """A point and its interval, values ×100; filled where the filter is told apart from no_filter."""
    middle, low, high = (100 * row[name] for name in names)
    said = verdict(row)
    colour = VERDICT_COLOURS[said]
    axes.errorbar(
        middle,
        at,
        xerr=[[max(0.0, middle - low)], [max(0.0, high - middle)]],
        color=colour,
        marker="D" if said == "baseline" else "o",
        markersize=6,
        markerfacecolor=colour if said in ("better", "worse", "baseline") else PANEL,
        markeredgewidth=1.5,
        elinewidth=1.7,
        capsize=3.5,
        capthick=1.4,
    )


def _height_in(rows: Sequence[Row]) -> float:
    return 0.62 + 0.31 * len(rows)


def curve(rows: Sequence[Row], names: Sequence[str], label: str) -> Markup:
    """Mean with its 95 % band against samples seen, one line per filter; names in order of the legend."""
    return draw_svg(lambda figure: draw_curve(figure, rows, names), (10.2, 3.7), label)


def draw_curve(figure: "Figure", rows: Sequence[Row], names: Sequence[str]) -> None:
    """Draw the lines; filters get a colour and a marker, controls are grey."""
    axes = figure.subplots()
    styles = iter(SERIES * len(names))
    for name in names:
        mine = sorted((row for row in rows if row["filter"] == name), key=lambda row: row["samples_seen"])
        control = bool(mine) and is_control(mine[0])
        colour, marker = (INK if name == BASELINE else MUTED, "") if control else next(styles)
        x = [row["samples_seen"] for row in mine]
        axes.fill_between(
            x, [100 * r["ci_low"] for r in mine], [100 * r["ci_high"] for r in mine], color=colour, alpha=0.12, lw=0
        )
        line = "-" if not control else "--" if name == BASELINE else ":"
        y = [100 * row["mean"] for row in mine]
        axes.plot(x, y, line, color=colour, marker=marker, markersize=4.5, linewidth=1.6, label=plain(name))
    seen = sorted({row["samples_seen"] for row in rows})
    if seen[-1] >= 8 * seen[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter("")
    axes.set_xticks(seen, [f"{n:,}" for n in seen])
    bare(axes, "both")
    axes.set_xlabel("samples seen")
    axes.set_ylabel(f"{words(rows[0]['metric'])}, %")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK, handlelength=2.6)


def histogram(kept: np.ndarray, dropped: np.ndarray, threshold: float | None, label: str) -> Markup:
    """Kept and dropped pairs by score, stacked; counts as (BINS,) int64, the threshold as a line."""
    return draw_svg(lambda figure: draw_histogram(figure, kept, dropped, threshold), (4.95, 2.25), label)


def draw_histogram(figure: "Figure", kept: np.ndarray, dropped: np.ndarray, threshold: float | None) -> None:
    """Draw the two as bars, at most 60 of them over the range that holds pairs."""
    axes = figure.subplots()
    edges, low, high = merged(kept, dropped, threshold)
    axes.stairs(low, edges, fill=True, color=BLUE, linewidth=0, label="kept")
    axes.stairs(low + high, edges, baseline=low, fill=True, color=MUTED, alpha=0.38, linewidth=0, label="dropped")
    if threshold is not None:
        axes.axvline(threshold, color=ORANGE, linewidth=1.4)
        axes.annotate(
            f"{threshold:.3f}", (threshold, 1), xycoords=("data", "axes fraction"), xytext=(4, -2), textcoords="offset points",
            color=ORANGE, va="top", fontsize=9,
        )  # fmt: skip
    axes.set_ylim(0, 1.18 * max(1, (low + high).max()))  # room for the threshold's number
    bare(axes, "y")
    axes.yaxis.set_major_locator(_few_ticks())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("cosine of image and text")
    axes.set_ylabel("pairs")


def merged(kept: np.ndarray, dropped: np.ndarray, threshold: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins merged to at most about 60, with an edge at the threshold, so that no bar is of both kinds by rounding."""
    full = np.flatnonzero(kept + dropped)
    first, last = (int(full[0]), int(full[-1]) + 1) if len(full) else (0, len(kept))
    step = max(1, -(-(last - first) // 60))
    if threshold is not None:
        first -= (first - int(np.abs(EDGES - threshold).argmin())) % step
    starts = np.arange(first, last, step).clip(0)
    return EDGES[np.append(starts, min(starts[-1] + step, len(kept)))], *(
        np.add.reduceat(n[:last], starts) for n in (kept, dropped)
    )


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4, integer=True)


def bare(axes: "Axes", grid: Any) -> None:
    """Grid lines along `grid` ("x", "y" or "both") and neither ticks nor a frame."""
    axes.grid(axis=grid)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)

"""How the filters work together: each subset's waterfall, and what every two subsets share, as pictures."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.compare.overlap import Sizes, overlaps
from pipeline.report.charts import bare
from pipeline.report.read import Subset
from pipeline.report.svg import BLUE, INK, MUTED, ORANGE, PANEL, draw_svg, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_RULES = 30  # of a waterfall; a longer one is cut, and told
_MOST_SUBSETS = 14  # of the matrix
_MOST_PAIRS = 2**63  # that an account can tell of: larger numbers are no counts


def waterfalls(subsets: Sequence[Subset]) -> list[dict[str, Any]]:
    """Of each subset that several rules made: its name, where its recipe is from, and the picture."""
    found = []
    for subset in subsets:
        steps = _steps(subset)
        if len(steps) > 1:
            size_in = (7.2, 0.75 + 0.34 * len(steps))
            plot = draw_svg(partial(_draw_waterfall, steps=steps), size_in, _label(subset, steps))
            estimated = any(step["estimated"] for step in steps)
            source = str(subset.made.get("source", ""))
            found.append({"filter": subset.name, "source": source, "plot": plot, "estimated": estimated})
    return found


def overlap_matrix(subsets: Sequence[Subset]) -> dict[str, Any] | None:
    """The share of each subset's distinct pairs that stands in each other one; None for fewer than two subsets."""
    shown = list(subsets)[:_MOST_SUBSETS]
    if len(shown) < 2:
        return None
    shared = overlaps([Sizes.of(subset.name, subset.uids) for subset in shown])
    of_row = shared / np.maximum(1, np.diag(shared))[:, None]
    names = [plain(subset.name) for subset in shown]
    side_in = 0.52 * len(shown)
    label = "Share of the subset in each row that stands in the subset in each column: " + "; ".join(
        f"{names[i]} in {names[j]} {100 * of_row[i, j]:.0f} %" for i in range(len(names)) for j in range(len(names)) if i != j
    )
    plot = draw_svg(lambda figure: _draw_matrix(figure.subplots(), of_row, names), (2.4 + side_in, 1.6 + 0.72 * side_in), label)
    return {"plot": plot, "left_out": len(subsets) - len(shown)}


def _steps(subset: Subset) -> list[dict[str, Any]]:
    """The rules of a subset's account, first to last; nothing where it has none that can be drawn."""
    told = subset.made.get("waterfall")
    steps = []
    for row in told if isinstance(told, list) else []:
        numbers = [row.get(key) for key in ("removed_alone", "removed_in_order", "left")] if isinstance(row, dict) else [None]
        if not all(isinstance(number, int) and 0 <= number < _MOST_PAIRS for number in numbers):
            return []
        rule = row.get("rule")
        name = rule.get("filter", "?") if isinstance(rule, dict) else "?"
        alone, in_order, left = numbers
        estimated = "removed_alone_estimated_from" in row
        steps.append({"name": plain(name), "alone": alone, "removed": in_order, "left": left, "estimated": estimated})
    return steps[:_MOST_RULES]


def _label(subset: Subset, steps: Sequence[dict[str, Any]]) -> str:
    told = "; ".join(f"{s['name']} removes {s['removed']:,} (alone {s['alone']:,}), {s['left']:,} left" for s in steps)
    return f"{subset.name}: {told}"


def _draw_waterfall(figure: "Figure", steps: Sequence[dict[str, Any]]) -> None:
    axes = figure.subplots()
    total = steps[0]["left"] + steps[0]["removed"]
    for at, step in enumerate(steps):
        axes.barh(at, step["left"], color=BLUE, height=0.62, linewidth=0)
        axes.barh(at, step["removed"], left=step["left"], color=ORANGE, height=0.62, linewidth=0)
        axes.plot([total - step["alone"]] * 2, [at - 0.4, at + 0.4], color=INK, linewidth=1.6)
        axes.annotate(
            f"−{step['removed']:,}", (total, at), xytext=(6, 0), textcoords="offset points", va="center", fontsize=9, color=MUTED
        )
    axes.set_yticks(range(len(steps)), [step["name"] for step in steps])
    axes.set_ylim(len(steps) - 0.4, -0.6)
    axes.set_xlim(0, max(1, total) * 1.001)
    bare(axes, "x")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("pairs")


def _draw_matrix(axes: "Axes", of_row: np.ndarray, names: Sequence[str]) -> None:
    from matplotlib.patches import Rectangle

    for i in range(len(names)):
        for j in range(len(names)):
            share = float(of_row[i, j])
            axes.add_patch(
                Rectangle(
                    (j - 0.5, i - 0.5),
                    1,
                    1,
                    facecolor=MUTED if i == j else BLUE,
                    alpha=0.08 + 0.8 * share * (i != j),
                    linewidth=0,
                )
            )
            colour = PANEL if share > 0.6 and i != j else INK
            axes.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=9, color=colour)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)

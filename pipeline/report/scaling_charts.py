"""Scaling fits → a plot as SVG: error against compute on two logarithmic axes, what was measured and what was predicted."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from pipeline.report.charts import SERIES, bare
from pipeline.report.svg import INK, MUTED, PANEL, draw_svg, plain
from schemas.rankings import BASELINE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = dict[str, Any]  # a row of SCALINGS, and `is_random`: whether its filter is a random subset

_MOST_TICKS = 6  # at the points themselves; of more, at powers of ten
_UNITS = {"flops": "training compute, FLOP", "samples": "samples seen"}


def scaling_plot(curves: Sequence[Curve], label: str) -> Markup:
    """One line with its 95 % band per filter, its points, and the held-out point with its prediction."""
    return draw_svg(lambda figure: draw_scaling(figure, curves), (10.2, 4.4), label)


def draw_scaling(figure: "Figure", curves: Sequence[Curve]) -> None:
    """Draw the curves; filters get a colour and a marker, controls are grey. Errors in percent."""
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    for curve, (colour, marker, line) in zip(curves, _styles(curves), strict=True):
        x = curve["curve_compute"]
        axes.fill_between(x, _percent(curve["curve_low"]), _percent(curve["curve_high"]), color=colour, alpha=0.12, lw=0)
        axes.plot(x, _percent(curve["curve_error"]), line, color=colour, linewidth=1.6)
        measured = _percent(curve["points_error"])
        axes.plot(curve["points_compute"], measured, marker=marker, color=colour, markersize=4.5, linewidth=0)
        _draw_held_out(axes, curve, colour)
        axes.plot([], [], line, color=colour, marker=marker, markersize=4.5, label=plain(curve["filter"]))
    _settle(axes, curves)


def _styles(curves: Sequence[Curve]) -> Iterator[tuple[str, str, str]]:
    """Colour, marker and line of each curve."""
    series = iter(SERIES * len(curves))
    for curve in curves:
        if curve["filter"] == BASELINE:
            yield INK, "o", "--"
        elif curve["is_random"]:
            yield MUTED, "o", ":"
        else:
            yield (*next(series), "-")


def _draw_held_out(axes: "Axes", curve: Curve, colour: str) -> None:
    """The prediction as a hollow diamond with its interval, a little beside the ringed point that it is compared with."""
    compute, error, predicted = (curve[key] for key in ("held_out_compute", "held_out_error", "predicted"))
    if compute is None or error is None or predicted is None:
        return
    axes.plot(compute, 100 * error, marker="o", markersize=11, markerfacecolor="none", markeredgecolor=colour, linewidth=0)
    low, high = (curve[key] if curve[key] is not None else predicted for key in ("predicted_low", "predicted_high"))
    reach = [[100 * max(0.0, predicted - low)], [100 * max(0.0, high - predicted)]]
    axes.errorbar(
        1.07 * compute, 100 * predicted, yerr=reach, color=colour, marker="D", markersize=6, markerfacecolor=PANEL,
        elinewidth=1.4, capsize=3, linewidth=0,
    )  # fmt: skip


def _settle(axes: "Axes", curves: Sequence[Curve]) -> None:
    """Axes over what was measured and fitted; bands far beyond that are cut off, as they would press all else together."""
    from matplotlib.ticker import FuncFormatter, LogLocator

    errors = [error for curve in curves for error in _percent([*curve["points_error"], *curve["curve_error"]])]
    predicted = [error for curve in curves if curve["predicted"] is not None for error in _percent([curve["predicted"]])]
    axes.set_ylim(0.8 * min([*errors, *predicted]), 1.15 * max([*errors, *predicted]))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 4, 5, 6, 7, 8, 9), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter("")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value < 1e6 else f"{value:.0e}"))
    measured = sorted({compute for curve in curves for compute in curve["points_compute"]})
    if len(measured) <= _MOST_TICKS:
        axes.set_xticks(measured)
    axes.xaxis.set_minor_formatter("")
    bare(axes, "both")
    axes.set_xlabel(_UNITS.get(curves[0]["compute_unit"], plain(curves[0]["compute_unit"])))
    axes.set_ylabel("error (1 − metric), %")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), labelcolor=INK, handlelength=2.6)


def _percent(errors: Sequence[float]) -> list[float]:
    """In percent, kept off 0, which a logarithmic axis has no place for."""
    return [100 * max(error, 1e-4) for error in errors]

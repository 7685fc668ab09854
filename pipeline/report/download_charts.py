"""Counts → plots as SVG, a bar each: download outcomes, success by top-level domain, languages; and success over the shards."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from pipeline.download.outcomes import SUCCESS
from pipeline.report.charts import bare
from pipeline.report.downloads import REST, Domain, Outcome
from pipeline.report.svg import BLUE, INK, MUTED, OCHRE, ORANGE, draw_svg, plain
from pipeline.report.text import share, words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_OUTCOMES = 15
MOST_POINTS = 240  # along the shards: more would not be told apart, and each costs bytes

_HALF_IN = 4.95
_COLOURS = {SUCCESS: BLUE, "failed_to_download": ORANGE, "failed_to_resize": OCHRE}


def outcome_bars(outcomes: Sequence[Outcome]) -> Markup:
    """One bar per outcome, as long as its number of pairs; those after the MOST_OUTCOMES most frequent as one."""
    total = sum(outcome.pairs for outcome in outcomes)
    shown, rest = outcomes[:MOST_OUTCOMES], outcomes[MOST_OUTCOMES:]
    bars = [(words(o.reason or o.status), o.pairs, _COLOURS[o.status]) for o in shown]
    if rest:
        bars.append((f"{len(rest)} other outcomes", sum(o.pairs for o in rest), MUTED))
    label = "pairs by download outcome: " + ", ".join(f"{name} {pairs:,}" for name, pairs, _ in bars)

    def draw(axes: "Axes") -> None:
        _draw_bars(axes, [(name, pairs, f"{pairs:,} ({share(pairs, total)})", colour) for name, pairs, colour in bars])
        axes.set_xlim(0, 1.42 * max(1, *(pairs for _, pairs, _ in bars)))  # room for the numbers
        axes.set_xticks([])

    return draw_svg(lambda figure: draw(figure.subplots()), (_HALF_IN, _height_in(bars)), label)


def counted_bars(counts: Sequence[tuple[str, int]], of: str, *, muted: Sequence[str] = ()) -> Markup:
    """One bar per name, as long as its number of pairs, with its share of them all; those named in `muted` are grey."""
    total = sum(pairs for _, pairs in counts)
    label = f"{of}: " + ", ".join(f"{name} {share(pairs, total)}" for name, pairs in counts)

    def draw(axes: "Axes") -> None:
        said = [(name, pairs, f"{pairs:,} ({share(pairs, total)})", MUTED if name in muted else BLUE) for name, pairs in counts]
        _draw_bars(axes, said)
        axes.set_xlim(0, 1.42 * max(1, *(pairs for _, pairs in counts)))  # room for the numbers
        axes.set_xticks([])

    return draw_svg(lambda figure: draw(figure.subplots()), (_HALF_IN, _height_in(counts)), label)


def domain_bars(domains: Sequence[Domain]) -> Markup:
    """One bar per top-level domain: its success rate, with the number of pairs tried."""
    label = "success rate by top-level domain: " + ", ".join(
        f"{domain.name} {share(domain.successes, domain.pairs)}" for domain in domains
    )
    bars = [
        (
            domain.name if domain.name == REST else f".{domain.name}",
            100 * domain.successes / domain.pairs,
            f"{share(domain.successes, domain.pairs)} of {domain.pairs:,}",
            MUTED if domain.name == REST else BLUE,
        )
        for domain in domains
    ]

    def draw(axes: "Axes") -> None:
        _draw_bars(axes, bars)
        axes.set_xlim(0, 142)
        axes.set_xticks([0, 25, 50, 75, 100])
        bare(axes, "x")
        axes.set_xlabel("stored, % of the pairs tried", x=50 / 142)

    return draw_svg(lambda figure: draw(figure.subplots()), (_HALF_IN, _height_in(bars) + 0.3), label)


def rate_line(rates: Sequence[float]) -> Markup:
    """Success rate against the shard's number; of many shards the mean of each few, with their least and most as a band."""
    label = f"success rate of {len(rates):,} shards: {100 * min(rates):.1f} to {100 * max(rates):.1f} %"
    groups = np.array_split(100 * np.asarray(rates), min(len(rates), MOST_POINTS))
    ends = np.cumsum([len(group) for group in groups])
    middles = ends - (np.array([len(group) for group in groups]) + 1) / 2

    def draw(axes: "Axes") -> None:
        low, mean, high = ([of(group) for group in groups] for of in (np.min, np.mean, np.max))
        axes.fill_between(middles, low, high, color=BLUE, alpha=0.16, linewidth=0)
        axes.plot(middles, mean, color=BLUE, linewidth=1.5, marker="o" if len(rates) <= 40 else "", markersize=4)
        axes.set_ylim(0, 100)
        axes.set_xlim(-0.5, len(rates) - 0.5)
        axes.locator_params("x", integer=True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        bare(axes, "both")
        axes.set_xlabel("shard")
        axes.set_ylabel("stored, %")

    return draw_svg(lambda figure: draw(figure.subplots()), (10.2, 2.3), label)


def _draw_bars(axes: "Axes", bars: Sequence[tuple[str, float, str, str]]) -> None:
    """(name, length, what stands behind the bar, colour) from top to bottom."""
    for at, (_, length, said, colour) in enumerate(bars):
        axes.barh(at, length, height=0.66, color=colour, alpha=0.85, linewidth=0)
        axes.annotate(said, (length, at), xytext=(4, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    axes.set_yticks(range(len(bars)), [plain(name) for name, *_ in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.spines["bottom"].set_visible(False)
    bare(axes, "x")


def _height_in(bars: Sequence[object]) -> float:
    return 0.3 + 0.24 * len(bars)

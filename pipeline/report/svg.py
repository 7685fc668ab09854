"""A matplotlib drawing → an `<svg>` element that stands in the page and takes its fonts and colours from the style sheet.

Colours are drawn as stand-ins and replaced by the style sheet's variables, so that one picture reads on light and on dark.
"""

import re
from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from pipeline.report.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Stand-in colour → the style sheet's variable.
INK, MUTED, LINE, PANEL = "#010a01", "#010a02", "#010a03", "#010a04"
BLUE, ORANGE, GREEN, PURPLE, OCHRE = "#010a11", "#010a12", "#010a13", "#010a14", "#010a15"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    PANEL: "--paper",
    BLUE: "--blue",
    ORANGE: "--orange",
    GREEN: "--green",
    PURPLE: "--purple",
    OCHRE: "--ochre",
}
_SETTINGS: dict[Any, Any] = {
    "text.parse_math": False,  # a `$` in a name is a `$`
    "svg.fonttype": "none",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9.5,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
}
# Ids that nothing refers to (they would repeat from plot to plot), comments, metadata, style rules that would leak, name spaces.
_NOISE = re.compile(
    r'<metadata>.*?</metadata>|<!--.*?-->|<style.*?</style>|(?<=<g) id="[^"]*"| xmlns(?::xlink)?="[^"]*"', re.DOTALL
)


def draw_svg(draw: Callable[["Figure"], None], size_in: tuple[float, float], label: str) -> Markup:
    """What `draw` puts on a figure of `size_in` (width, height in inches), described to screen readers by `label`.

    The same drawing gives the same bytes. pyplot is not used: it would keep state and look for a display.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({**_SETTINGS, "svg.hashsalt": label}):
        figure = Figure(figsize=size_in, layout="constrained")
        draw(figure)
        written = BytesIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    svg = written.getvalue().decode("utf-8")
    svg = _NOISE.sub("", svg[svg.index("<svg") :])
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    return Markup(svg.replace("<svg", f'<svg class="plot" role="img" aria-label="{escape(visible(label))}"', 1))  # noqa: S704


def plain(text: object) -> str:
    """Untrusted text for a plot's label: control characters made visible, and not too long."""
    return visible(text, 60)

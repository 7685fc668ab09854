"""What the report says of a ranking is what ranking.parquet says: in the plot, in the table and in words."""

import pytest
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from pipeline.report.charts import draw_curve, draw_differences, draw_means
from pipeline.report.ranking import scales
from pipeline.report.verdict import headline, verdict


def row(name: str, mean: float, p: float | None = 0.5, verdict: str | None = "tie", **more) -> dict:
    gain = None if name == "no_filter" else mean - 0.40
    return {
        "filter": name, "scale": "demo", "model": "demo", "samples_seen": 1000, "task": "average", "metric": "main_metric",
        "n_seeds": 3, "mean": mean, "sd": 0.01, "ci_low": mean - 0.03, "ci_high": mean + 0.02,
        "p_better_than_no_filter": p, "rows": 100, "repeats": 10.0, "difference": gain,
        "difference_low": None if gain is None else gain - 0.04, "difference_high": None if gain is None else gain + 0.05,
        "verdict": verdict, "is_random": name.startswith("random_"), **more,
    }  # fmt: skip


ROWS = [
    row("no_filter", 0.40, None, None, rows=300),
    row("clip_score", 0.50, 0.001, "better"),
    row("basic_filter", 0.41, 0.30, rows=200),
    row("random_clip_score", 0.39, 0.9),
    row("harmful", 0.20, 1.0, "worse", rows=50),
]


def drawn(draw, rows) -> list[tuple[float, float, float]]:
    """Middle, low and high of each error bar that `draw` puts on a plot."""
    axes = Figure().subplots()
    draw(axes, rows)
    bars = [c for c in axes.containers if isinstance(c, ErrorbarContainer)]
    ends = [bar.lines[2][0].get_segments()[0] for bar in bars]
    return [(bar.lines[0].get_xdata()[0], start[0], end[0]) for bar, (start, end) in zip(bars, ends, strict=True)]


def test_error_bars_are_the_tables_numbers():
    for bar, expected in zip(drawn(draw_means, ROWS), ROWS, strict=True):
        assert bar == pytest.approx([100 * expected[name] for name in ("mean", "ci_low", "ci_high")])


def test_the_bars_of_the_differences_are_the_tables_numbers_too():
    for bar, expected in zip(drawn(draw_differences, ROWS), ROWS[1:], strict=True):
        assert bar == pytest.approx([100 * expected[name] for name in ("difference", "difference_low", "difference_high")])


def test_plot_and_table_stand_best_first_and_agree():
    (scale,) = scales(ROWS)
    lines = scale.averages[0].lines
    assert [line["filter"] for line in lines] == ["clip_score", "basic_filter", "no_filter", "random_clip_score", "harmful"]
    names = [name for name in scale.averages[0].plot.split(">") if name.removesuffix("</text") in {r["filter"] for r in ROWS}]
    assert [name.removesuffix("</text") for name in names] == [line["filter"] for line in lines]
    shown = [lines[0][key] for key in ("mean", "sd", "low", "high", "gain", "gain_low", "gain_high", "p")]
    assert shown == ["50.0", "1.0", "47.0", "52.0", "+10.0", "+6.0", "+15.0", "0.001"]


def test_verdicts_are_those_of_the_ranking():
    assert [verdict(r) for r in ROWS] == ["baseline", "better", "tie", "tie", "worse"]


def test_the_headline_claims_a_win_only_beyond_the_interval():
    assert headline(ROWS).startswith("clip_score beats no_filter by 10.0 points")
    assert headline(ROWS).endswith("a random subset of the same size ties.")
    unsure = [r | {"verdict": None if r["filter"] == "no_filter" else "tie"} for r in ROWS]
    assert headline(unsure).startswith("no filter can be told from no_filter: clip_score stands at +10.0 points")


def test_the_headline_says_when_the_random_subset_wins_too():
    lucky = [r | {"verdict": "better"} if r["filter"] == "random_clip_score" else r for r in ROWS]
    assert headline(lucky).endswith("a random subset of the same size beats it too.")


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        ("better", "; it beats a random subset of its size by 4.0 points (95 % interval +1.0 to +7.0; p = 0.020)."),
        ("tie", "; it cannot be told from a random subset of its size: +4.0 points (95 % interval +1.0 to +7.0; p = 0.020)."),
        ("worse", "; a random subset of its size is better: +4.0 points (95 % interval +1.0 to +7.0; p = 0.020)."),
    ],
)
def test_the_headline_tells_the_comparison_with_a_random_subset_that_rank_made(verdict, said):
    made = {
        "control": "random_clip_score", "control_difference": 0.04, "control_difference_low": 0.01,
        "control_difference_high": 0.07, "p_better_than_control": 0.02, "control_verdict": verdict,
    }  # fmt: skip
    rows = [r | made if r["filter"] == "clip_score" else r for r in ROWS]
    assert headline(rows).endswith(said)
    (scale,) = scales(rows)
    assert scale.averages[0].lines[0]["control"] == {
        "name": "random_clip_score", "gain": "+4.0", "interval": "+1.0 to +7.0", "p": "0.020", "verdict": verdict,
    }  # fmt: skip
    assert scale.averages[0].lines[1]["control"] is None


def test_without_a_baseline_nothing_is_claimed():
    assert "no no_filter run to compare with" in headline([row("clip_score", 0.5, None, None)])
    assert headline([]) == ""


def test_one_seed_has_no_standard_deviation():
    (scale,) = scales([row("no_filter", 0.4, None, None, sd=None, n_seeds=1)])
    assert scale.averages[0].lines[0]["sd"] == "–"


def test_a_learning_curve_is_drawn_where_there_are_several_points():
    assert not scales(ROWS)[0].curves
    history = [r | {"samples_seen": seen, "mean": r["mean"] * share} for r in ROWS for seen, share in ((500, 0.8), (1000, 1.0))]
    assert len(scales(history)[0].curves) == 1
    figure = Figure()
    draw_curve(figure, history, ["clip_score", "no_filter"])
    first = figure.axes[0].lines[0]
    assert list(first.get_xdata()) == [500, 1000]
    assert list(first.get_ydata()) == pytest.approx([40.0, 50.0])


def test_the_ranking_is_read_at_the_most_samples_seen():
    early = [r | {"samples_seen": 10, "mean": 0.9} for r in ROWS]
    assert scales([*early, *ROWS])[0].averages[0].lines[0]["mean"] == "50.0"

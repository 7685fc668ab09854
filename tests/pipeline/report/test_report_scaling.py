"""Scaling fits: the plot and the tables say what 7_ranking/scalings.parquet and crossings.parquet say."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

from pipeline.manifest import Manifest
from pipeline.report import ReportConfig, run
from pipeline.report.read import Root, read_root
from pipeline.report.scaling import agreements, scaling
from pipeline.report.scaling_charts import draw_scaling
from schemas.errors import UserError
from schemas.scalings import CROSSINGS, SCALINGS

from .conftest import crossing_row, scaling_row


def write(root, fits, crossings=()):
    pq.write_table(pa.Table.from_pylist(list(fits), schema=SCALINGS), root / "7_ranking" / "scalings.parquet")
    pq.write_table(pa.Table.from_pylist(list(crossings), schema=CROSSINGS), root / "7_ranking" / "crossings.parquet")


@pytest.fixture
def told(build_root, make_pairs):
    """What the page shows of given fits and crossings."""
    root = build_root(make_pairs(20))

    def told(fits, crossings=()):
        write(root, fits, crossings)
        return scaling(read_root(str(root)))

    return told


def test_each_line_is_a_row_of_the_table(told):
    (item,) = told([scaling_row("clip_score", 2.0, 0.125, e_inf=0.1, form="power_floor")])["plots"]
    (line,) = item.lines
    assert (line["filter"], line["points"], line["alpha"], line["floor"]) == ("clip_score", "5", "0.125", "10.0")
    assert line["alpha_interval"] == "0.115 to 0.135"
    measured = 2.0 * 256_000**-0.125
    assert (line["measured"], line["predicted"]) == (f"{100 * measured:.1f}", f"{100 * measured + 1:.1f}")
    assert (line["predicted_interval"], line["inside"]) == ("20.0 – 90.0", "yes")


def test_an_agreement_that_is_none_of_ours_is_shown_as_it_is():
    row = {"less": {"scale": "demo", "samples_seen": "many"}, "more": 3, "tau_b": "high", "tau_b_low": 1, "tau_b_high": None}
    made = Manifest(
        stage="rank", config={}, config_hash="", versions={}, counts={}, inputs=(), parts=(), parts_resumed=0,
        facts={"ranking": {"agreement": [row]}}, started_at="", duration_s=0, peak_rss_bytes=0,
    )  # fmt: skip
    (found,) = agreements(Root(path="", manifests=(made,)))
    assert (found["less"], found["more"], found["tau"]) == ("demo, None, many samples", "3", "–")


def test_a_prediction_that_missed_is_called_that(told):
    (item,) = told([scaling_row("clip_score", 2.0, 0.125, predicted_low=0.1, predicted_high=0.2)])["plots"]
    assert item.lines[0]["inside"] == "no"


def test_with_nothing_held_out_there_is_no_prediction(told):
    nothing = dict.fromkeys(("held_out_compute", "held_out_error", "predicted", "predicted_low", "predicted_high"))
    (item,) = told([scaling_row("clip_score", 2.0, 0.125, **nothing)])["plots"]
    assert (item.lines[0]["predicted"], item.lines[0]["measured"], item.lines[0]["inside"]) == ("–", "–", "")


def test_the_filter_of_least_error_at_most_compute_stands_first(told):
    (item,) = told([scaling_row("slow", 1.0, 0.05), scaling_row("fast", 2.0, 0.2)])["plots"]
    assert [line["filter"] for line in item.lines] == ["fast", "slow"]


def test_averages_over_most_scales_come_first_and_the_rest_is_counted(told):
    fits = [scaling_row("a", 2.0, 0.1, task=f"task_{n}", metric="acc1") for n in range(5)]
    fits += [scaling_row("a", 2.0, 0.1, scale="demo"), scaling_row("a", 2.0, 0.1)]
    found = told(fits)
    assert [item.title.split(", scale ")[1] for item in found["plots"][:2]] == [
        "demo+micro, model envelope",
        "demo, model envelope",
    ]
    assert (len(found["plots"]), found["left_out"]) == (4, 3)


def test_the_plot_shows_points_curve_band_and_held_out_point():
    fit = scaling_row("clip_score", 2.0, 0.125) | {"is_random": False}
    figure = Figure()
    draw_scaling(figure, [fit])
    (axes,) = figure.axes
    curve, points = axes.lines[:2]
    assert list(curve.get_xdata()) == fit["curve_compute"]
    assert list(curve.get_ydata()) == pytest.approx([100 * error for error in fit["curve_error"]])
    assert list(points.get_xdata()) == fit["points_compute"]
    (ring,) = [line for line in axes.lines if line.get_markersize() == 11]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == pytest.approx((256_000, 100 * fit["held_out_error"]))
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")


def test_an_error_of_nothing_can_still_be_drawn():
    fit = scaling_row("a", 2.0, 0.1) | {"is_random": False}
    fit |= {"points_error": [0.0] * 5, "curve_low": [0.0] * 11}
    draw_scaling(Figure(), [fit])


def test_crossings_say_how_sure_they_are_and_whether_they_were_measured(whole_page):
    page = whole_page.read_text()
    row = page[page.index("Crossings of the fitted curves") :].partition("</tbody>")[0]
    assert all(said in row for said in ("basic_filter", "clip_score", "40,000", "9,000 – 200,000", "87", "within"))


def test_extrapolated_crossings_say_so(told):
    (row,) = told([scaling_row("a", 2.0, 0.1)], [crossing_row(extrapolated=True, compute_low=None, compute_high=None)])[
        "crossings"
    ]
    assert row["extrapolated"]
    assert row["interval"] == "–"


def test_without_fits_the_page_says_what_is_missing(build_root, make_pairs, tmp_path):
    root = build_root(make_pairs(20))
    for name in ("scalings", "crossings"):
        (root / "7_ranking" / f"{name}.parquet").unlink()
    run(ReportConfig(root=str(root), out=str(tmp_path / "r.html"), pairs=1))
    page = (tmp_path / "r.html").read_text()
    assert "fits them where each filter was measured at several points of compute" in page
    assert "this ranking has 2 points" in page


def test_crossings_on_the_average_stand_apart_from_those_on_tasks_the_surest_first(told):
    many = [crossing_row(before=f"f{n}", probability=n / 20) for n in range(20)]
    found = told([scaling_row("a", 2.0, 0.1)], [*many, crossing_row(task="shapes", metric="acc1")])
    assert [row["before"] for row in found["crossings"]] == [f"f{n}" for n in range(19, 7, -1)]
    assert [row["task"] for row in found["crossings_of_tasks"]] == ["shapes"]


def test_agreement_of_rankings_is_read_from_the_facts_of_rank(whole_root):
    root = read_root(str(whole_root))
    less, more = ({"scale": "demo", "model": "demo", "samples_seen": n} for n in (16_000, 32_000))
    row = {"less": less, "more": more, "filters": 4, "tau_b": 0.667, "tau_b_low": -0.2, "tau_b_high": 1.0}
    facts = {"ranking": {"agreements": [row | {"told_apart_at_both": 3, "same_order": 2}], "tasks_left_out": []}}
    ranked = dataclasses.replace(root.of("extract")[0], stage="rank", facts=json.loads(json.dumps(facts)))
    (told,) = scaling(dataclasses.replace(root, manifests=(*root.manifests, ranked)))["agreements"]
    assert told == {
        "less": "demo, demo, 16,000 samples", "more": "demo, demo, 32,000 samples", "filters": "4", "tau": "+0.67",
        "interval": "−0.20 to +1.00", "same_order": "2 of 3",
    }  # fmt: skip


def test_a_file_that_is_not_the_table_is_named(build_root, make_pairs):
    root = build_root(make_pairs(20))
    pq.write_table(pa.table({"filter": ["a"]}), root / "7_ranking" / "scalings.parquet")
    with pytest.raises(UserError, match=r"7_ranking/scalings\.parquet: not the table it should be"):
        scaling(read_root(str(root)))

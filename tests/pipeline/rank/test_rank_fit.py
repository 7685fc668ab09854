"""Fitted curves and crossings on simulated errors whose curve is known, and Kendall's τ-b against SciPy's."""

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.stats import kendalltau

from pipeline.rank.curves.agreement import tau_b
from pipeline.rank.curves.crossings import crossing_rows
from pipeline.rank.curves.fit import MOST_ALPHA, fit
from pipeline.rank.curves.scaling import Points, scaling_of, scaling_row

MEASURE = ("average", "main_metric")
COMPUTE = 1e12 * np.array([1, 2, 4, 8, 16, 32.0])


def errors_of(a, alpha, floor, compute=COMPUTE):
    return a * (np.asarray(compute) / 1e12) ** -alpha + floor


def points(errors, *, name="f", noise=0.01, rng=None, compute=COMPUTE, draws=400):
    """Measured errors with relative noise, half of it common to all points, and draws of the same noise."""
    rng = rng or np.random.default_rng(0)

    def drawn(around, n):
        return around * (1 + noise / np.sqrt(2) * (rng.normal(size=(n, 1)) + rng.normal(size=(n, len(around)))))

    measured = drawn(errors, 1)[0]
    return Points(
        filter=name,
        model="m",
        scale="s",
        n_seeds=3,
        repeats=1.0,
        compute=compute,
        errors=measured,
        draws=np.clip(drawn(measured, draws), 1e-3, 1),
    )


def test_a_curve_without_noise_is_found_exactly():
    for form, floor in (("power", 0.0), ("power_floor", 0.2)):
        found = fit(COMPUTE, errors_of(0.5, 0.35, floor)[None], form)
        assert found.alpha[0] == pytest.approx(0.35, rel=1e-3)
        assert found.floor[0] == pytest.approx(floor, abs=1e-3)
        assert found.a[0] * found.unit ** found.alpha[0] == pytest.approx(0.5 * 1e12**0.35, rel=0.02)


def test_many_fits_at_once_are_those_of_scipy_s_least_squares_one_by_one():
    errors = errors_of(0.5, 0.35, 0.2) * np.exp(np.random.default_rng(0).normal(0, 0.02, (20, 6)))
    found = fit(COMPUTE, errors, "power_floor")
    x = np.log(COMPUTE / found.unit)
    for at, mine in enumerate(errors):

        def residual(p, mine=mine):
            return np.log(np.exp(p[0] - p[1] * x) + p[2]) - np.log(mine)

        bounds = ([-np.inf, 0, 0], [np.inf, MOST_ALPHA, 0.999 * mine.min()])
        starts = [(np.log(mine.mean()), 0.3, share * mine.min()) for share in (0, 0.5, 0.9)]
        best = min((least_squares(residual, s, bounds=bounds, xtol=1e-12, ftol=1e-12) for s in starts), key=lambda r: r.cost)
        assert (np.log(found.at(COMPUTE)[at] / mine) ** 2).sum() <= 2 * best.cost * (1 + 1e-4) + 1e-12


def test_the_form_without_floor_takes_an_error_that_rises():
    assert fit(COMPUTE, errors_of(0.3, -0.1, 0.0)[None], "power").alpha[0] == pytest.approx(-0.1)


def test_a_floor_is_fitted_from_five_points_on():
    forms = {n: scaling_of(points(errors_of(0.5, 0.3, 0.1)[:n], compute=COMPUTE[:n])).form for n in (2, 4, 5, 6)}
    assert forms == {2: "power", 4: "power", 5: "power_floor", 6: "power_floor"}


@pytest.mark.parametrize(("n", "floor", "curves"), [(4, 0.0, 200), (6, 0.2, 60)], ids=["power law of 4 points", "with a floor"])
def test_alpha_and_the_held_out_point_lie_in_their_95_percent_intervals_as_often_as_they_should(n, floor, curves):
    rng = np.random.default_rng(9)
    measured = [points(errors_of(0.5, 0.35, floor)[:n], compute=COMPUTE[:n], rng=rng, draws=200) for _ in range(curves)]
    rows = [scaling_row(scaling_of(each), MEASURE, "flops") for each in measured]
    alpha = np.mean([row["alpha_low"] <= 0.35 <= row["alpha_high"] for row in rows])
    held_out = np.mean([row["predicted_low"] <= row["held_out_error"] <= row["predicted_high"] for row in rows])
    assert 0.90 <= alpha <= 0.99
    assert 0.90 <= held_out <= 0.99


def test_the_held_out_point_gives_away_a_form_that_does_not_hold():
    """Four points of a curve with a floor get the form without: its prediction is too low more often than its interval says."""
    rng = np.random.default_rng(9)
    rows = [
        scaling_row(
            scaling_of(points(errors_of(0.5, 0.35, 0.2)[:4], compute=COMPUTE[:4], rng=rng, noise=0.005)), MEASURE, "flops"
        )
        for _ in range(40)
    ]
    assert np.mean([row["held_out_error"] > row["predicted_high"] for row in rows]) > 0.5


def test_the_band_widens_beyond_the_points_and_holds_the_true_curve():
    row = scaling_row(scaling_of(points(errors_of(0.5, 0.35, 0.0)[:4], compute=COMPUTE[:4])), MEASURE, "flops")
    compute, low, high = (np.array(row[f"curve_{name}"]) for name in ("compute", "low", "high"))
    truth = errors_of(0.5, 0.35, 0.0, compute)
    assert np.all((low <= truth) & (truth <= high))
    assert (high / low)[-1] > (high / low)[len(low) // 3]
    assert compute[-1] == pytest.approx(10 * COMPUTE[3])


def test_two_points_give_a_curve_and_no_prediction():
    row = scaling_row(scaling_of(points(errors_of(0.5, 0.35, 0.0)[:2], compute=COMPUTE[:2])), MEASURE, "samples")
    assert row["predicted"] is None
    assert row["held_out_error"] is None


@pytest.mark.parametrize(("at", "extrapolated"), [(5e12, False), (3e13, True)])
def test_a_crossing_is_found_where_it_is_and_told_to_be_beyond_the_points(at, extrapolated):
    compute, rng = COMPUTE[:4], np.random.default_rng(2)
    steep = 0.15 * (compute / at) ** -0.4
    flat = 0.15 * (compute / at) ** -0.2
    both = [points(e, name=n, noise=0.004, compute=compute, rng=rng) for n, e in (("steep", steep), ("flat", flat))]
    (row,) = crossing_rows([scaling_of(each) for each in both], MEASURE, "flops")
    assert (row["before"], row["after"]) == ("flat", "steep")
    assert row["compute"] == pytest.approx(at, rel=0.3)
    assert row["compute_low"] <= at <= row["compute_high"]
    assert row["probability"] > 0.7
    assert row["extrapolated"] is extrapolated


def test_curves_that_do_not_cross_and_curves_that_are_the_same_give_no_crossing():
    low, high = (scaling_of(points(errors_of(a, 0.3, 0.0), name=str(a), noise=0.001)) for a in (0.3, 0.5))
    assert crossing_rows([low, high], MEASURE, "flops") == []
    assert crossing_rows([low, low], MEASURE, "flops") == []


def test_tau_b_is_scipy_s_with_ties_and_without():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (2, 50, 6)).astype(float)
    assert tau_b(x, y) == pytest.approx([kendalltau(a, b).statistic for a, b in zip(x, y, strict=True)], nan_ok=True)

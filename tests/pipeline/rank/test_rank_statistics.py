"""How sure a mean and a difference are: known cases, and the correction for many comparisons."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, t

from pipeline.rank.bootstrap import MOST_RESAMPLED, crossed, estimate, holm
from pipeline.rank.ranking import verdict


def estimates(*tasks, draws=1000, seed=0, weights=None):
    """The estimates from tables (K, S, n), one per task: of each filter, or of the weighted sums."""
    found = [
        crossed([list(np.asarray(task, dtype=float))], draws=draws, rng=np.random.default_rng([seed, at]))[0]
        for at, task in enumerate(tasks)
    ]
    return estimate(found, np.eye(len(tasks[0])) if weights is None else np.array(weights, dtype=float), seed=seed)


def only(scores, **settings):
    """The estimate of one filter's table (S, n)."""
    return estimates([scores], **settings)[0]


def simulated(rng, effects=(0.0, 0.0), *, n_seeds=4, n_items=150):
    """(K, S, n) of hits: items differ in difficulty, seeds in luck."""
    shape = (len(effects), n_seeds, n_items)
    chance = 0.5 + np.array(effects)[:, None, None] + rng.normal(0, 0.2, n_items) + rng.normal(0, 0.02, (*shape[:2], 1))
    return (rng.random(shape) < chance).astype(float)


def test_the_mean_and_sd_are_those_of_the_seeds():
    found = only([[1, 1, 0, 0], [1, 1, 1, 0]])
    assert found.mean == pytest.approx(0.625)
    assert found.sd == pytest.approx(np.std([0.5, 0.75], ddof=1))
    assert found.n_seeds == 2


@pytest.mark.parametrize("n_items", [50, MOST_RESAMPLED + 50])
def test_identical_results_are_a_tie_with_p_one_half(n_items):
    scores = (np.random.default_rng(0).random((3, n_items)) < 0.4).astype(float)
    (found,) = estimates([scores, scores], weights=[[1, -1]])
    assert (found.low, found.high) == pytest.approx((0, 0), abs=1e-9)
    assert found.p == pytest.approx(0.5, abs=0.01)


def test_a_clear_difference_has_a_small_p_and_an_interval_above_zero():
    tables = simulated(np.random.default_rng(1), (0.3, 0.0), n_items=500)
    better, worse = estimates(tables, weights=[[1, -1], [-1, 1]], draws=4000)
    assert better.p < 0.01
    assert better.low > 0.15
    assert worse.p > 0.99
    assert worse.high < -0.15


def test_a_difference_of_two_filters_is_that_of_the_table_of_their_differences():
    """Differences are told from products of all filters' tables, not from a table each: the same numbers must come out."""
    tables = simulated(np.random.default_rng(2), (0.1, 0.0, 0.05), n_seeds=3)
    told = estimates(tables, weights=[[1, -1, 0], [0, -1, 1]], draws=2000)
    for found, table in zip(told, (tables[0] - tables[1], tables[2] - tables[1]), strict=True):
        straight = only(table, draws=2000)
        names = ("mean", "sd", "low", "high", "p", "p_below")
        assert [getattr(found, name) for name in names] == pytest.approx([getattr(straight, name) for name in names], abs=1e-3)


def test_one_seed_has_no_sd_and_the_interval_of_its_items():
    scores = np.random.default_rng(0).random((1, 400)) < 0.4
    found = only(scores, draws=20_000)
    p = scores.mean()
    assert found.sd is None
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / 400), rel=0.05)


def test_where_only_seeds_differ_the_interval_is_student_s():
    found = only(np.repeat([[0.4], [0.5], [0.6]], 100, axis=1), draws=20_000)
    half = t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert found.low == pytest.approx(0.5 - half, rel=0.01)
    assert found.high == pytest.approx(0.5 + half, rel=0.01)


def test_the_normal_limit_for_many_items_gives_the_interval_that_resampling_gives(monkeypatch):
    tables = simulated(np.random.default_rng(4), (0.02, 0.0), n_seeds=1, n_items=1500)
    resampled = estimates(tables, weights=[[1, 0], [1, -1]], draws=20_000)
    monkeypatch.setattr("pipeline.rank.bootstrap.MOST_RESAMPLED", 100)
    for one, other in zip(resampled, estimates(tables, weights=[[1, 0], [1, -1]], draws=20_000), strict=True):
        assert one.high - one.low == pytest.approx(other.high - other.low, rel=0.03)
        assert one.low == pytest.approx(other.low, abs=0.03 * (one.high - one.low))


def test_an_average_weighs_tasks_alike_whatever_their_number_of_items():
    found = estimates(np.ones((1, 2, 300)), np.zeros((1, 2, 10)))
    assert found[0].mean == 0.5


def test_the_same_seed_gives_the_same_estimates():
    scores = np.random.default_rng(0).random((2, 3, 40))
    assert estimates(scores, seed=5) == estimates(scores, seed=5)


def test_plain_resampling_of_three_seeds_would_not_cover():
    """Why the seeds' part is drawn from Student's t."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        seeds = rng.normal(0, 1, 3)
        low, high = np.quantile(seeds[rng.integers(0, 3, (1000, 3))].mean(axis=1), [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(covered) < 0.85


@pytest.mark.parametrize(("n_seeds", "seed_sd"), [(1, 0.0), (5, 0.05), (8, 0.0)])
def test_a_p_too_small_for_the_draws_is_that_of_many_more_draws(n_seeds, seed_sd):
    rng = np.random.default_rng(1)
    scores = rng.normal(0, 1, (n_seeds, 400)) + rng.normal(0, 1, 400) + rng.normal(0, seed_sd, (n_seeds, 1))
    scores -= scores.mean()
    scores += 1.4 * only(scores, draws=20_000).high
    few, many = only(scores, draws=1000), only(scores, draws=400_000)
    assert 1e-4 < many.p < 0.02
    assert few.p == pytest.approx(many.p, rel=0.35)


def test_thirty_filters_that_differ_clearly_are_told_apart_from_each_other():
    """435 pairs: corrected for so many, one draw in ten thousand would not be enough."""
    tables = simulated(np.random.default_rng(0), np.linspace(-0.4, 0.4, 30), n_seeds=6, n_items=1500)
    pairs = np.array([np.eye(30)[b] - np.eye(30)[a] for a in range(30) for b in range(a + 10, 30)])
    found = estimates(tables, weights=pairs)
    assert max(holm([2 * each.p for each in found] + [1.0] * (435 - len(pairs)))[: len(pairs)]) < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 1)])
def test_without_noise_to_judge_by_nothing_is_told_apart(shape):
    found = only(np.ones(shape))
    assert verdict(found, found.p, found.p_below) == "tie"


def test_holm_equals_a_reference_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_is_never_below_the_raw_p_nor_below_benjamini_hochberg():
    p = np.random.default_rng(0).random(20)
    assert np.all(np.array(holm(p)) >= p)
    assert np.all(np.array(holm(p)) >= false_discovery_control(p) - 1e-12)


@pytest.mark.parametrize(("shift", "said"), [(0.2, "better"), (-0.2, "worse"), (0.0, "tie")])
def test_better_and_worse_are_mirror_images(shift, said):
    difference = np.random.default_rng(3).normal(shift, 0.1, (4, 200))
    found, mirrored = only(difference, draws=2000), only(-difference, draws=2000)
    assert verdict(found, found.p, found.p_below) == said
    assert (found.p, found.p_below) == pytest.approx((mirrored.p_below, mirrored.p), abs=0.02)


@pytest.mark.parametrize("side", [0.2, -0.2])
def test_neither_better_nor_worse_stands_when_the_corrected_p_does_not(side):
    found = only(np.random.default_rng(3).normal(side, 0.1, (4, 200)), draws=2000)
    assert verdict(found, 0.03, 0.03) == "tie"

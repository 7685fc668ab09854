"""How sure a mean and a difference are: known cases, and simulated runs whose truth is known."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control, t

from pipeline.rank.bootstrap import Table, estimate, holm
from pipeline.rank.ranking import verdict


def of(scores):
    return Table({"task": np.asarray(scores, dtype=float)})


def simulate(rng, *, effect=0.0, seed_sd=0.02, n_seeds=4, n_items=150):
    """Paired tables of two filters, (S, n) 0/1 each: items differ in difficulty, seeds in luck; and the true difference."""
    difficulty = rng.normal(0, 0.2, n_items)

    def table(mean):
        chance = np.clip(mean + rng.normal(0, seed_sd, (n_seeds, 1)) + difficulty, 0, 1)
        return (rng.random((n_seeds, n_items)) < chance).astype(float)

    return table(0.5 + effect), table(0.5)


def test_the_mean_and_sd_are_those_of_the_seeds():
    (found,) = estimate([of([[1, 1, 0, 0], [1, 1, 1, 0]])], draws=1000, seed=0)
    assert found.mean == pytest.approx(0.625)
    assert found.sd == pytest.approx(np.std([0.5, 0.75], ddof=1))
    assert found.n_seeds == 2


def test_identical_results_are_a_tie_with_p_one_half():
    (found,) = estimate([of(np.zeros((3, 50)))], draws=1000, seed=0)
    assert (found.low, found.high) == (0.0, 0.0)
    assert found.p == pytest.approx(0.5, abs=0.01)


def test_a_clear_difference_has_a_small_p_and_an_interval_above_zero():
    a, b = simulate(np.random.default_rng(1), effect=0.3, n_items=500)
    better, worse = estimate([of(a - b), of(b - a)], draws=4000, seed=0)
    assert better.p < 0.01
    assert better.low > 0.15
    assert worse.p > 0.99
    assert worse.high < -0.15


def test_one_seed_has_no_sd_and_the_interval_of_its_items():
    scores = np.random.default_rng(0).random((1, 400)) < 0.4
    (found,) = estimate([of(scores)], draws=20_000, seed=0)
    p = scores.mean()
    assert found.sd is None
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.sqrt(p * (1 - p) / 400), rel=0.05)


def test_where_only_seeds_differ_the_interval_is_student_s():
    scores = np.repeat([[0.4], [0.5], [0.6]], 100, axis=1)
    (found,) = estimate([of(scores)], draws=20_000, seed=0)
    half = t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert found.low == pytest.approx(0.5 - half, rel=0.01)
    assert found.high == pytest.approx(0.5 + half, rel=0.01)


def test_an_average_weighs_tasks_alike_whatever_their_number_of_items():
    (found,) = estimate([Table({"large": np.ones((2, 300)), "small": np.zeros((2, 10))})], draws=1000, seed=0)
    assert found.mean == 0.5


def test_the_same_seed_gives_the_same_estimates():
    scores = of(np.random.default_rng(0).random((3, 40)))
    assert estimate([scores], draws=1000, seed=5) == estimate([scores], draws=1000, seed=5)


@pytest.mark.parametrize(
    ("seed_sd", "n_seeds"), [(0.0, 3), (0.05, 3), (0.05, 6)], ids=["no seed effect", "three seeds", "six seeds"]
)
def test_the_interval_of_a_difference_covers_the_truth_and_nothing_is_falsely_better(seed_sd, n_seeds):
    rng = np.random.default_rng(11)
    found = []
    for _ in range(400):
        a, b = simulate(rng, seed_sd=seed_sd, n_seeds=n_seeds)
        found += estimate([of(a - b)], draws=1000, seed=0)
    covered = np.mean([each.low <= 0 <= each.high for each in found])
    false_better = np.mean([each.low > 0 for each in found])
    assert 0.92 <= covered <= 0.98
    assert false_better <= 0.05


def test_plain_resampling_of_three_seeds_would_not_cover():
    """Why the seeds' part is drawn from Student's t."""
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(400):
        seeds = rng.normal(0, 1, 3)
        low, high = np.quantile(seeds[rng.integers(0, 3, (1000, 3))].mean(axis=1), [0.025, 0.975])
        covered.append(low <= 0 <= high)
    assert np.mean(covered) < 0.85


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
    rng = np.random.default_rng(3)
    difference = Table({"task": rng.normal(shift, 0.1, (4, 200))})
    (found,) = estimate([difference], draws=2000, seed=0)
    (mirrored,) = estimate([Table({"task": -difference.tasks["task"]})], draws=2000, seed=0)
    assert verdict(found, found.p, found.p_below) == said
    assert (found.p, found.p_below) == pytest.approx((mirrored.p_below, mirrored.p), abs=0.02)


@pytest.mark.parametrize("side", [0.2, -0.2])
def test_neither_better_nor_worse_stands_when_the_corrected_p_does_not(side):
    rng = np.random.default_rng(3)
    (found,) = estimate([Table({"task": rng.normal(side, 0.1, (4, 200))})], draws=2000, seed=0)
    assert verdict(found, 0.06, 0.06) == "tie"

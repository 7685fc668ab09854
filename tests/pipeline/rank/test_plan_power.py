"""What difference a design can detect: against simulation, against textbook cases, from results that stand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.evaluate.results import Result
from pipeline.rank.budget.power import Noise, assumed_noise, detectable, measured_noise


def noise(seed_sd, item_variance=0.0):
    return Noise(seed_sd=seed_sd, item_variance=item_variance, source="")


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_with_seeds_alone_it_is_the_t_test_at_its_power(seeds):
    found = detectable(noise(0.02), seeds=seeds, comparisons=4)
    limit = stats.t.ppf(1 - 0.025 / 4, seeds - 1)
    assert stats.nct.sf(limit, seeds - 1, found / (0.02 / math.sqrt(seeds))) == pytest.approx(0.8, abs=1e-4)


def test_with_items_alone_it_is_the_normal_test():
    found = detectable(noise(0, 1e-4), seeds=3, comparisons=1)
    assert found == pytest.approx(0.01 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)), rel=1e-3)


@pytest.mark.parametrize(("seeds", "item_sd"), [(3, 0.01), (5, 0.02), (4, 0.005)])
def test_simulated_rankings_find_that_difference_in_about_four_of_five(seeds, item_sd):
    """The seeds' sd is estimated anew in each ranking, that of the items known; judged by the same two-sided interval."""
    sd, comparisons, n = 0.02, 3, 40_000
    true = detectable(noise(sd, item_sd**2), seeds=seeds, comparisons=comparisons)
    rng = np.random.default_rng(0)
    by_seed = true + rng.normal(0, sd, (n, seeds))
    means, variances = by_seed.mean(axis=1) + rng.normal(0, item_sd, n), by_seed.var(axis=1, ddof=1) / seeds
    freedom = (variances + item_sd**2) ** 2 / (variances**2 / (seeds - 1))
    found = means / np.sqrt(variances + item_sd**2) > stats.t.ppf(1 - 0.025 / comparisons, freedom)
    assert found.mean() == pytest.approx(0.8, abs=0.05)


spreads = st.floats(1e-4, 0.2)


@given(spreads, spreads, st.integers(2, 9), st.integers(1, 20))
def test_more_seeds_detect_less_and_more_comparisons_need_more(seed_sd, item_sd, seeds, comparisons):
    mine = noise(seed_sd, item_sd**2)
    here = detectable(mine, seeds=seeds, comparisons=comparisons)
    assert 0 < detectable(mine, seeds=seeds + 1, comparisons=comparisons) < here
    assert detectable(mine, seeds=seeds, comparisons=comparisons + 1) >= here


def test_one_seed_detects_nothing_and_no_noise_everything():
    assert detectable(noise(0.02), seeds=1, comparisons=1) == math.inf
    assert detectable(noise(0), seeds=2, comparisons=1) == 0


def test_assumed_noise_says_so_and_falls_with_the_number_of_items():
    few, many = assumed_noise({"cls_a": 100, "ret_b": 100}), assumed_noise({"cls_a": 1000, "ret_b": 1000})
    assert few.source.startswith("assumed: ")
    assert few.item_variance == pytest.approx(10 * many.item_variance)
    assert many.item_variance == pytest.approx(0.25 / 2000)


def result(name, seed, scores, *, scale="demo", samples_seen=1000, task="cls_a"):
    return Result(
        filter=name,
        scale=scale,
        model="demo",
        seed=seed,
        samples_seen=samples_seen,
        rows=10,
        task=task,
        dataset="a",
        digest="d",
        main_metric="acc1",
        items={"acc1": np.asarray(scores, np.float32)},
    )


def test_measured_noise_finds_the_spreads_that_the_scores_were_drawn_with():
    rng = np.random.default_rng(1)
    n, seed_sd, item_sd, filters = 400, 0.03, 0.3, range(30)
    base = [result("no_filter", seed, np.zeros(n)) for seed in range(6)]
    drawn = []
    for number in filters:
        items = rng.normal(0, item_sd, n)
        scores = [0.1 + rng.normal(0, seed_sd) + items + rng.normal(0, 0.2, n) for _ in range(6)]
        drawn += [result(f"f{number}", seed, each) for seed, each in enumerate(scores)]
    found = measured_noise([*base, *drawn], "demo", 1000)
    assert found.seed_sd == pytest.approx(math.sqrt(seed_sd**2 + 0.2**2 / n), rel=0.15)
    assert found.item_variance == pytest.approx(item_sd**2 / n, rel=0.1)
    assert found.source == "measured on 30 differences at demo, 1,000 samples seen"


def test_a_pilot_is_taken_at_the_nearest_samples_and_only_at_its_scale_and_with_two_seeds():
    def runs(samples_seen, seeds, **more):
        return [
            result(name, s, [s, 1, 0], samples_seen=samples_seen, **more) for name in ("no_filter", "f") for s in range(seeds)
        ]

    assert measured_noise(runs(500, 2) + runs(4000, 2), "demo", 1000).source.endswith(" 500 samples seen")
    assert measured_noise(runs(1000, 1) + runs(4000, 2), "demo", 1000).source.endswith(" 4,000 samples seen")
    assert measured_noise(runs(1000, 2), "micro", 1000) is None
    assert measured_noise([], "demo", 1000) is None

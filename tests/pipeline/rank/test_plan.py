"""The split of a time over seeds, samples and scales: a pure function of what a run costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.rank.budget.plan import GOOD_SEEDS, LEAST_SEEDS, Cost, least_samples, plan


@st.composite
def costs(draw, most=3):
    """One to three scales, in any order of price."""
    found = {}
    for number in range(draw(st.integers(1, most))):
        batch, own = draw(st.integers(2, 64)), draw(st.integers(1, 40))
        found[f"scale{number}"] = Cost(
            seconds_per_step=draw(st.floats(1e-3, 10)),
            seconds_beside=draw(st.floats(0, 100)),
            batch_size=batch,
            own_samples=batch * own,
            least_samples=batch * draw(st.integers(1, own)),
        )
    return found


settings = {"arms": st.integers(1, 9), "workers": st.integers(1, 5), "most_seeds": st.integers(2, 9)}
seconds = st.floats(0, 30_000)


def cost(step_s=1.0, beside_s=10.0, own=100, least=10):
    return Cost(seconds_per_step=step_s, seconds_beside=beside_s, batch_size=10, own_samples=10 * own, least_samples=10 * least)


def by_scale(found):
    return {design.scale: (design.seeds, design.samples_seen) for design in found.designs}


@given(costs(), seconds, st.fixed_dictionaries(settings))
def test_a_plan_never_takes_more_than_the_budget(costs, budget_s, more):
    found = plan(costs, budget_s, **more)
    assert found.seconds <= budget_s * (1 + 1e-9)
    for design in found.designs:
        runs = more["arms"] * design.seeds
        waves = -(-runs // more["workers"])
        assert design.seconds == pytest.approx(waves * costs[design.scale].seconds(design.samples_seen))


@given(costs(), seconds, seconds, st.fixed_dictionaries(settings))
def test_with_more_time_no_scale_has_fewer_seeds_or_samples(costs, budget_s, more_s, more):
    less, larger = (by_scale(plan(costs, b, **more)) for b in (budget_s, budget_s + more_s))
    for scale, (seeds, samples) in less.items():
        assert larger[scale][0] >= seeds
        assert larger[scale][1] >= samples


@given(costs(), seconds, st.fixed_dictionaries(settings))
def test_every_design_is_within_its_bounds(costs, budget_s, more):
    for number, design in enumerate(plan(costs, budget_s, **more).designs):
        scale = costs[design.scale]
        assert scale.least_samples <= design.samples_seen <= scale.own_samples
        assert design.samples_seen % scale.batch_size == 0
        assert min(GOOD_SEEDS, more["most_seeds"]) <= design.seeds <= more["most_seeds"] or (
            number == 0 and design.seeds == LEAST_SEEDS and design.samples_seen == scale.least_samples
        )


@given(costs(), seconds, st.fixed_dictionaries(settings))
def test_nothing_is_planned_only_where_the_least_does_not_fit_and_exactly_it_does(costs, budget_s, more):
    found = plan(costs, budget_s, **more)
    assert bool(found.designs) == (budget_s >= found.least_s) or found.least_s == pytest.approx(budget_s)
    assert plan(costs, found.least_s * (1 + 1e-9), **more).designs


@given(costs(most=1), seconds, st.fixed_dictionaries(settings))
def test_time_that_is_left_does_not_do_for_the_next_rung(costs, budget_s, more):
    """Against a search of all designs: of those with good seeds, the most samples, then the most seeds."""
    (scale, price), found = next(iter(costs.items())), plan(costs, budget_s, **more)
    good = range(min(GOOD_SEEDS, more["most_seeds"]), more["most_seeds"] + 1)
    whole = price.own_samples
    rungs = [(good[0], samples) for samples in range(price.least_samples, whole + 1, price.batch_size)]
    rungs += [(seeds, whole) for seeds in good[1:]]
    fitting = [
        (seeds, samples)
        for seeds, samples in rungs
        if -(-more["arms"] * seeds // more["workers"]) * price.seconds(samples) <= budget_s * (1 - 1e-9)
    ]
    if fitting:
        assert rungs.index(by_scale(found)[scale]) >= rungs.index(fitting[-1])


def test_the_ladder_goes_two_seeds_three_seeds_samples_seeds_then_the_next_scale():
    both = {"small": cost(), "large": cost(step_s=10, beside_s=100)}
    rungs = [by_scale(plan(both, budget_s, arms=1, workers=1, most_seeds=4)) for budget_s in (39, 40, 60, 120, 330, 440, 1039)]
    assert rungs == [
        {},
        {"small": (2, 100)},
        {"small": (3, 100)},
        {"small": (3, 300)},
        {"small": (3, 1000)},
        {"small": (4, 1000)},
        {"small": (4, 1000)},
    ]
    assert by_scale(plan(both, 1040, arms=1, workers=1, most_seeds=4)) == {"small": (4, 1000), "large": (3, 100)}
    assert plan(both, 1e9, arms=1, workers=1, most_seeds=4).complete


def test_runs_at_once_share_the_time_in_whole_waves():
    one = plan({"small": cost()}, 440, arms=4, workers=4, most_seeds=4)
    assert by_scale(one) == {"small": (4, 1000)}
    assert by_scale(plan({"small": cost()}, 440, arms=5, workers=4, most_seeds=4)) == {"small": (3, 1000)}


def test_the_least_is_an_eighth_of_the_scale_and_past_the_warm_up():
    assert least_samples(20_480, 128, 10) == 2_560
    assert least_samples(12_800_000, 4_096, 500) == 1_000 * 4_096
    assert least_samples(1_000, 100, 400) == 1_000

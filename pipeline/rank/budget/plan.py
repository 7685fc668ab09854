"""How a time budget is split over filters × scales × seeds: costs of a run at each scale in, the design of the runs out.

Every arm (a filter or a control) gets the same seeds and the same samples, so that what differs is the data. A ladder of
designs is climbed as far as the time allows, scale by scale in the order given:

1. 2 seeds at the fewest samples worth training on. One seed would leave the spread between seeds unknown.
2. 3 seeds. An interval of S seeds is t(S-1) / √S standard deviations to either side (Student 1908), at 95 %: 8.98 with 2 seeds,
   2.48 with 3, 1.59 with 4, 1.24 with 5, 0.84 with 8. The third seed divides it by 3.6 for half as much time again; no number
   of samples does as much.
3. Samples, up to the scale's own. A ranking holds at its compute only, as filters cross where data repeats (Goyal et al. 2024,
   "Scaling laws for data filtering"), so the scale is trained as far as it is meant to be before seeds sharpen the result.
4. Seeds, up to the most asked for: each narrows the interval by less than the one before.
5. The next scale, begun as soon as 3 seeds of it fit (DataComp's rankings agree between scales, with exceptions: Gadre et al.
   2023). Scales lie a factor of ten or more apart, so that seeds of the smaller one delay it by little.

Rungs are never given up: with more time no scale has fewer seeds or fewer samples. Several points in samples seen cost nothing
more: the rate is constant, so each checkpoint of a run is a run of that length.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

LEAST_SEEDS, GOOD_SEEDS = 2, 3
LEAST_SHARE = 1 / 8  # of a scale's own samples: below that models are near chance, and rank nothing


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one run at a scale takes, as timed while as many run at once as will. `own_samples`: what the scale is meant for."""

    seconds_per_step: float
    seconds_beside: float  # start, checkpoints, evaluation: all but the steps
    batch_size: int  # samples
    own_samples: int  # samples
    least_samples: int  # samples

    @property
    def whole_samples(self) -> int:
        """The scale's own samples in whole batches."""
        return self.own_samples // self.batch_size * self.batch_size

    def seconds(self, samples: int) -> float:
        """Of one run on so many samples."""
        return self.seconds_beside + samples // self.batch_size * self.seconds_per_step

    def samples_in(self, seconds: float) -> int:
        """The most samples, in whole batches, of a run in that time; not above the scale's own, 0 where none fit."""
        own = self.whole_samples // self.batch_size
        steps = own if self.seconds(self.own_samples) <= seconds else int((seconds - self.seconds_beside) / self.seconds_per_step)
        while steps > 0 and self.seconds(steps * self.batch_size) > seconds:  # rounding
            steps -= 1
        return max(0, min(own, steps)) * self.batch_size


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is run at one scale: every arm with each of so many seeds on so many samples; all of it takes `seconds`."""

    scale: str
    seeds: int
    samples_seen: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`designs`, none where not even the least fits; `complete`: all scales have all they may have; `least_s`: of the least."""

    designs: tuple[Design, ...]
    complete: bool
    least_s: float

    @property
    def seconds(self) -> float:
        """Of all runs."""
        return sum(design.seconds for design in self.designs)


def plan(costs: Mapping[str, Cost], budget_s: float, *, arms: int, workers: int, most_seeds: int) -> Plan:
    """Split the time of all runs over seeds, samples and scales (the order of `costs`): see the module for how and why.

    `arms`: filters and controls; `workers`: runs at once. Never above the budget; with a larger one no scale has fewer
    seeds or samples.
    """
    ladders = [_Ladder(scale, cost, arms, workers, most_seeds) for scale, cost in costs.items()]
    least_s = ladders[0].design(LEAST_SEEDS, ladders[0].cost.least_samples).seconds
    designs: list[Design] = []
    left = budget_s
    for ladder in ladders:
        found = ladder.climb(left) or (None if designs else ladder.lowest(left))
        if found is not None:
            designs.append(found)
            left -= found.seconds
        if found is None or not ladder.is_top(found):
            return Plan(designs=tuple(designs), complete=False, least_s=least_s)
    return Plan(designs=tuple(designs), complete=True, least_s=least_s)


def waves(runs: int, workers: int) -> int:
    """How many times as long as one run many equal runs take, so many at once."""
    return -(-runs // workers)


@dataclass(frozen=True)
class _Ladder:
    """The designs at one scale."""

    scale: str
    cost: Cost
    arms: int
    workers: int
    most_seeds: int

    def climb(self, left: float) -> Design | None:
        """The highest design with good seeds that the time left allows; None where not even its fewest samples fit."""
        seeds = min(GOOD_SEEDS, self.most_seeds)
        samples = self.cost.samples_in(left / waves(self.arms * seeds, self.workers))
        if samples < self.cost.least_samples:
            return None
        if samples == self.cost.whole_samples:
            while seeds < self.most_seeds and self.design(seeds + 1, samples).seconds <= left:
                seeds += 1
        found = self.design(seeds, samples)
        return replace(found, seconds=min(found.seconds, left))  # above it by rounding only

    def lowest(self, left: float) -> Design | None:
        """The fewest seeds on the fewest samples, if they fit."""
        found = self.design(LEAST_SEEDS, self.cost.least_samples)
        return found if found.seconds <= left else None

    def is_top(self, design: Design) -> bool:
        """Whether there is nothing above it."""
        return design.seeds >= self.most_seeds and design.samples_seen == self.cost.whole_samples

    def design(self, seeds: int, samples: int) -> Design:
        seconds = waves(self.arms * seeds, self.workers) * self.cost.seconds(samples)
        return Design(scale=self.scale, seeds=seeds, samples_seen=samples, seconds=seconds)


def least_samples(own_samples: int, batch_size: int, warmup_steps: int) -> int:
    """The fewest samples worth training on: an eighth of the scale's own, and twice its warm-up, in whole batches."""
    steps = max(math.ceil(own_samples * LEAST_SHARE / batch_size), 2 * warmup_steps, 1)
    return min(steps, own_samples // batch_size) * batch_size

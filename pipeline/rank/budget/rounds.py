"""The runs of a schedule, round by round: a round is every arm with one seed, so that whatever stands is balanced."""

import heapq
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from pipeline.progress import progress
from pipeline.rank.budget.plan_file import Schedule
from pipeline.rank.budget.planning import settings_of
from pipeline.rank.budget.spent import Spent
from pipeline.rank.running import Begun, Ended, in_rounds
from pipeline.train import TrainConfig

if TYPE_CHECKING:
    from pipeline.rank import RankConfig


def run_rounds(config: "RankConfig", schedule: Schedule, spent: Spent, processes: ProcessPoolExecutor) -> None:
    """Train and evaluate what the schedule says, as far as the time goes; `spent` then tells which rounds were left out."""
    rounds = rounds_of(config, schedule)
    guard = Guard(schedule, spent, config.workers)
    total = sum(map(len, rounds))
    ended = in_rounds(processes, rounds, str(config.eval), workers=config.workers, may_begin=guard.may_begin)
    for run in progress(ended, total=total, label="train and evaluate", unit="run"):
        guard.note(run)
        spent.save()
    spent.left_out = list(range(spent.rounds_begun, len(rounds)))
    spent.save()


def rounds_of(config: "RankConfig", schedule: Schedule) -> list[list[TrainConfig]]:
    """The runs of each round, scale by scale and seed by seed. A scale's own length is left unsaid, as `train` leaves it."""
    own = {scale: cost.whole_samples for scale, cost in schedule.costs.items()}
    return [
        [
            settings_of(
                config,
                arm,
                design.scale,
                seed=seed,
                samples_seen=None if design.samples_seen == own[design.scale] else design.samples_seen,
            )
            for arm in schedule.arms
        ]
        for design in schedule.designs
        for seed in schedule.seeds(design)
    ]


class Guard:
    """Lets a round begin only where it will end within the budget, at the speed seen so far."""

    def __init__(self, schedule: Schedule, spent: Spent, workers: int) -> None:
        self._schedule, self._spent, self._workers = schedule, spent, workers
        self._designs = [design for design in schedule.designs for _ in schedule.seeds(design)]  # of each round
        self._stood_before = spent.rounds_begun  # of these, some runs may only be looked at
        self._took: dict[str, list[float]] = defaultdict(list)  # scale → actual ÷ planned time of each run

    def may_begin(self, number: int, running: Sequence[Begun]) -> bool:
        """Whether the round begins now, beside the runs under way. The first always does, and one that a killed command began."""
        if number and number >= self._spent.rounds_begun and not self._fits(number, running):
            return False
        self._spent.rounds_begun = max(self._spent.rounds_begun, number + 1)
        self._spent.save()
        return True

    def note(self, run: Ended) -> None:
        """Learn the speed from a run that has ended."""
        if run.round >= self._stood_before:
            self._took[self._designs[run.round].scale].append(run.seconds / self._planned_s(run.round))

    @property
    def slowness(self) -> dict[str, float]:
        """Scale → how many times as long as planned its runs take, on average."""
        return {scale: sum(ratios) / len(ratios) for scale, ratios in self._took.items()}

    def _fits(self, number: int, running: Sequence[Begun]) -> bool:
        # Half of what was kept is left to the ranking; the other half is for runs that are slower than those that were timed.
        limit_s = self._schedule.budget_s - self._schedule.reserve_s / 2
        return self._spent.seconds + self._seconds_until_end(number, running) <= limit_s

    def _seconds_until_end(self, number: int, running: Sequence[Begun]) -> float:
        """Until the round's last run has ended: each run goes to the worker that is free first."""
        now = time.monotonic()
        free_in = [max(0.0, self._expected_s(run.round) - (now - run.since)) for run in running]
        free_in += [0.0] * (self._workers - len(free_in))
        heapq.heapify(free_in)
        for _ in self._schedule.arms:
            heapq.heapreplace(free_in, free_in[0] + self._expected_s(number))
        return max(free_in)

    def _expected_s(self, number: int) -> float:
        """Of one run of a round: as planned, times how much longer runs took so far (of its scale, else of any)."""
        seen = self.slowness
        factor = seen.get(self._designs[number].scale, max(seen.values(), default=1.0))
        return self._planned_s(number) * factor

    def _planned_s(self, number: int) -> float:
        design = self._designs[number]
        return self._schedule.costs[design.scale].seconds(design.samples_seen)

"""Filters and differences of two at one compute → estimates, on every task and metric and on the average."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from pipeline.rank.bootstrap import Crossed, Estimate, crossed, estimate
from pipeline.rank.runs import Group
from schemas.errors import UserError
from schemas.rankings import AVERAGE

MAIN = "main_metric"

Measure = tuple[str, str]  # task and metric
Contrast = tuple[str, str | None]  # a filter; or a filter minus another


class Contrasts:
    """Estimates at one compute. What is resampled for one set of seeds is kept for the next question."""

    def __init__(self, group: Group, *, draws: int, seed: int) -> None:
        self.group = group
        self._draws = draws
        self._seed = seed
        self._kept: dict[tuple[int, ...], tuple[list[str], dict[Measure, Crossed]]] = {}

    @property
    def measures(self) -> list[Measure]:
        """The average, then every metric of every task, a task's main metric first."""
        return [(AVERAGE, MAIN), *((task, metric) for task in self.group.tasks for metric in self.group.metrics(task))]

    def of(self, measures: Sequence[Measure], wanted: Sequence[Contrast]) -> dict[tuple[Measure, Contrast], Estimate]:
        """The estimate of each contrast by each measure, paired over the seeds that its two filters share.

        Raises UserError where they share none.
        """
        by_seeds: dict[tuple[int, ...], list[Contrast]] = defaultdict(list)
        for contrast in wanted:
            by_seeds[self._seeds(contrast)].append(contrast)
        found = {}
        for seeds, some in by_seeds.items():
            names, samples = self._samples(seeds)
            weights = np.array([[(name == a) - (name == b) for name in names] for a, b in some], np.float64)
            for measure in measures:
                estimates = estimate([samples[each] for each in self._averaged(measure)], weights, seed=self._seed)
                found.update({(measure, contrast): each for contrast, each in zip(some, estimates, strict=True)})
        return found

    def _seeds(self, contrast: Contrast) -> tuple[int, ...]:
        name, other = contrast
        seeds = self.group.seeds(name) if other is None else self.group.shared_seeds(name, other)
        if not seeds:
            raise UserError(f"{name} and {other} at {self.group.compute}: no seed in common; train both on the same seeds")
        return seeds

    def _averaged(self, measure: Measure) -> list[Measure]:
        return list(self.group.tasks.items()) if measure == (AVERAGE, MAIN) else [measure]

    def _samples(self, seeds: tuple[int, ...]) -> tuple[list[str], dict[Measure, Crossed]]:
        """The filters that have all these seeds, and what they scored with them."""
        if seeds not in self._kept:
            names = [name for name in self.group.filters if {*seeds} <= {*self.group.seeds(name)}]
            found: dict[Measure, Crossed] = {}
            for task in self.group.tasks:
                metrics = self.group.metrics(task)
                tables = [[self.group.scores(name, task, metric, seeds) for name in names] for metric in metrics]
                some = crossed(tables, draws=self._draws, rng=np.random.default_rng([self._seed, *task.encode()]))
                found.update({(task, metric): each for metric, each in zip(metrics, some, strict=True)})
            self._kept[seeds] = names, found
        return self._kept[seeds]

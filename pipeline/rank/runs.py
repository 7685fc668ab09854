"""All results below a folder → per compute, what each filter's seeds scored on each item."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline import io
from pipeline.evaluate.results import RESULTS_NAME, Result, read_results
from pipeline.rank.bootstrap import Table
from schemas.errors import UserError


class Compute(NamedTuple):
    """Where filters can be compared: same scale, model and samples seen."""

    scale: str
    model: str
    samples_seen: int


@dataclass(frozen=True)
class Group:
    """All runs at one compute: results by filter, task and seed. `tasks`: main metric of each task that every run has."""

    compute: Compute
    results: dict[str, dict[str, dict[int, Result]]]
    tasks: dict[str, str]
    left_out: tuple[str, ...]  # tasks that some run lacks

    @property
    def filters(self) -> list[str]:
        """Names, sorted."""
        return sorted(self.results)

    def rows(self, name: str) -> int:
        """Pairs in the filter's subset."""
        return next(iter(next(iter(self.results[name].values())).values())).rows

    def seeds(self, name: str) -> list[int]:
        """Seeds of the filter, ascending."""
        return sorted(next(iter(self.results[name].values())))

    def metrics(self, task: str) -> list[str]:
        """Metrics of a task, its main metric first."""
        first = next(iter(self.results[self.filters[0]][task].values()))
        return [first.main_metric, *sorted(set(first.items) - {first.main_metric})]

    def scores(self, name: str, measures: dict[str, str]) -> Table:
        """The scores of a filter on each task by the metric named: tables of (its seeds, items)."""
        return self._table(name, self.seeds(name), measures)

    def difference(self, name: str, other: str, measures: dict[str, str]) -> Table:
        """Scores of a filter minus another's, over the seeds both have. Raises UserError where they share none."""
        shared = sorted({*self.seeds(name)} & {*self.seeds(other)})
        if not shared:
            raise UserError(
                f"{name} and {other} at {'/'.join(map(str, self.compute))}: no seed in common; train both on the same seeds"
            )
        mine, theirs = self._table(name, shared, measures), self._table(other, shared, measures)
        return Table({task: mine.tasks[task] - theirs.tasks[task] for task in measures})

    def _table(self, name: str, seeds: Sequence[int], measures: dict[str, str]) -> Table:
        of_task = self.results[name]
        return Table({t: np.stack([of_task[t][seed].items[m] for seed in seeds]).astype(np.float64) for t, m in measures.items()})


def results_files(folder: str) -> list[str]:
    """Every results.jsonl below a folder, sorted. Raises UserError where there is none."""
    fs, name = io.url_to_fs(folder)
    if not fs.isdir(name):
        raise UserError(f"{folder}: no such folder")
    full = str if io.is_local(folder) else fs.unstrip_protocol
    found = [full(path) for path in sorted(fs.find(name)) if path.rsplit("/", 1)[-1] == RESULTS_NAME]
    if not found:
        raise UserError(f"{folder}: no {RESULTS_NAME} below it; run `webpairs evaluate` on its runs first")
    return found


def read_groups(paths: Sequence[str]) -> list[Group]:
    """The runs at each compute, in order. Raises UserError where two files tell of one run, or runs cannot be compared."""
    found: dict[Compute, dict[str, dict[str, dict[int, Result]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    digests: dict[str, str] = {}
    for path in paths:
        for result in read_results(path):
            if digests.setdefault(result.task, result.digest) != result.digest:
                raise UserError(
                    f"{path}: tested on other items of {result.task} than other runs; evaluate all on the same folder"
                )
            seeds = found[Compute(result.scale, result.model, result.samples_seen)][result.filter][result.task]
            if result.seed in seeds:
                raise UserError(f"{path}: {result.filter}, seed {result.seed} at {result.scale} is there twice; remove one")
            if any(other.rows != result.rows for other in seeds.values()):
                raise UserError(f"{path}: {result.filter} has {result.rows} pairs here, another number with other seeds")
            seeds[result.seed] = result
    return [_group(compute, found[compute]) for compute in sorted(found)]


def _group(compute: Compute, results: dict[str, dict[str, dict[int, Result]]]) -> Group:
    everywhere = {task for tasks in results.values() for task in tasks}
    common = {task for task in everywhere if all(task in tasks and _complete(tasks, task) for tasks in results.values())}
    if not common:
        raise UserError(f"{compute.scale}, {compute.samples_seen} samples seen: no task that every run was tested on")
    kept = {name: {task: dict(tasks[task]) for task in sorted(common)} for name, tasks in results.items()}
    first = next(iter(kept.values()))
    mains = {task: next(iter(first[task].values())).main_metric for task in sorted(common)}
    return Group(compute, kept, mains, tuple(sorted(everywhere - common)))


def _complete(tasks: dict[str, dict[int, Result]], task: str) -> bool:
    return all(seed in tasks[task] for other in tasks.values() for seed in other)

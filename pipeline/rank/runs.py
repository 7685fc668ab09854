"""All results below a folder → per compute, what each filter's seeds scored on each item."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pipeline import io
from pipeline.evaluate.results import RESULTS_NAME, Result, read_results
from schemas.errors import UserError


class Compute(NamedTuple):
    """Where filters can be compared: same scale, model and samples seen."""

    scale: str
    model: str
    samples_seen: int

    def __str__(self) -> str:
        """As it is called in reports."""
        return f"{self.scale}, {self.model}, {self.samples_seen:,} samples seen"


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

    @property
    def flops_per_sample(self) -> float | None:
        """Training flops of one pair, forward and backward; None where some run does not tell."""
        every = (result for tasks in self.results.values() for seeds in tasks.values() for result in seeds.values())
        told = [result.flops_per_sample for result in every]
        known = [flops for flops in told if flops is not None]
        return max(known) if len(known) == len(told) else None

    def rows(self, name: str) -> int:
        """Pairs in the filter's subset."""
        return next(iter(next(iter(self.results[name].values())).values())).rows

    def repeats(self, name: str) -> float:
        """How often training saw each pair; 0 for a published model, of which no run tells."""
        rows = self.rows(name)
        return self.compute.samples_seen / rows if rows else 0.0

    def seeds(self, name: str) -> tuple[int, ...]:
        """Seeds of the filter, ascending."""
        return tuple(sorted(next(iter(self.results[name].values()))))

    def shared_seeds(self, name: str, other: str) -> tuple[int, ...]:
        """Seeds that both filters have, ascending."""
        return tuple(sorted({*self.seeds(name)} & {*self.seeds(other)}))

    def metrics(self, task: str) -> list[str]:
        """Metrics of a task that every run has (other releases of `evaluate` may know more), its main metric first."""
        every = (result.items.keys() for tasks in self.results.values() for result in tasks[task].values())
        main = self.tasks[task]
        return [main, *sorted(set.intersection(*map(set, every)) - {main})]

    def scores(self, name: str, task: str, metric: str, seeds: Sequence[int]) -> np.ndarray:
        """(S, n): the scores of a filter's seeds on a task's items, in a type that holds them exactly."""
        return np.stack([self.results[name][task][seed].items[metric] for seed in seeds])

    def mean(self, name: str) -> float:
        """The filter's mean over seeds and tasks of the main metrics."""
        of_task = self.results[name]
        means = [of_task[t][s].items[m].mean(dtype=np.float64) for t, m in self.tasks.items() for s in self.seeds(name)]
        return float(np.mean(means))


def results_files(folder: str) -> list[str]:
    """Every results.jsonl below a folder, sorted. Raises UserError where there is none."""
    fs, name = io.url_to_fs(folder)
    if not fs.isdir(name):
        raise UserError(f"{folder}: no such folder")
    found = files_below(folder, RESULTS_NAME)
    if not found:
        raise UserError(f"{folder}: no {RESULTS_NAME} below it; run `webpairs evaluate` on its runs first")
    return found


def files_below(folder: str, name: str) -> list[str]:
    """Paths of every file of that name below a folder, sorted; none where the folder is not there."""
    fs, place = io.url_to_fs(folder)
    if not fs.isdir(place):
        return []
    full = str if io.is_local(folder) else fs.unstrip_protocol
    return [full(path) for path in sorted(fs.find(place)) if path.rsplit("/", 1)[-1] == name]


def read_groups(paths: Sequence[str]) -> tuple[list[Group], dict[str, str]]:
    """The runs at each compute, in order, and the filter that each file tells of.

    Raises UserError where two files tell of one run, or runs cannot be compared.
    """
    filters: dict[str, str] = {}
    found: dict[Compute, dict[str, dict[str, dict[int, Result]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    firsts: dict[str, Result] = {}
    for path in paths:
        for result in read_results(path):
            filters[path] = result.filter
            _require_alike(path, result, firsts.setdefault(result.task, result))
            seeds = found[Compute(result.scale, result.model, result.samples_seen)][result.filter][result.task]
            if result.seed in seeds:
                raise UserError(f"{path}: {result.filter}, seed {result.seed} at {result.scale} is there twice; remove one")
            if any(other.rows != result.rows for other in seeds.values()):
                raise UserError(f"{path}: {result.filter} has {result.rows} pairs here, another number with other seeds")
            seeds[result.seed] = replace(result, items={name: _packed(scores) for name, scores in result.items.items()})
    return [_group(compute, found[compute]) for compute in sorted(found)], filters


def _require_alike(path: str, result: Result, first: Result) -> None:
    """Raises UserError where a result cannot stand beside the first one of its task."""
    of = f"{path}: {result.task}, {result.filter}"
    if result.digest != first.digest:
        raise UserError(f"{of}: tested on other items than other runs; evaluate all on the same folder")
    if result.main_metric != first.main_metric:
        raise UserError(
            f"{of}: its main metric is {result.main_metric}, with other runs {first.main_metric}; evaluate all with one release"
        )
    numbers = {len(scores) for each in (result, first) for scores in each.items.values()}
    if len(numbers) > 1:
        raise UserError(f"{of}: {min(numbers)} items, and {max(numbers)} elsewhere; evaluate all with one release")
    if not all(np.isfinite(scores).all() for scores in result.items.values()):
        raise UserError(f"{of}: a score that is no number; run `webpairs evaluate` on that run again")


def _packed(scores: np.ndarray) -> np.ndarray:
    """The same scores in a smaller type where that holds them exactly: hits and misses in a byte each."""
    for kind in (np.uint8, np.float16):
        with np.errstate(invalid="ignore", over="ignore"):
            small = scores.astype(kind)
        if np.array_equal(small, scores):
            return small
    return scores


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

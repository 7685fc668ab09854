"""What stands below the models already: runs that are a pilot, or that could not be ranked together with those to come."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pipeline import io
from pipeline.evaluate.results import RESULTS_NAME, Result, read_results
from pipeline.manifest import CONFIG_NAME
from pipeline.rank.budget.controls import Arm
from pipeline.rank.runs import files_below
from schemas.errors import UserError


def standing_results(models: str) -> list[Result]:
    """All results below the folder; none where there is no such folder. Raises UserError for damaged ones."""
    return [result for path in files_below(models, RESULTS_NAME) for result in read_results(path)]


def first_free_seed(models: str, arms: Sequence[Arm], scales: Collection[str]) -> int:
    """The seed after the highest that any of the arms was begun with at any of the scales.

    Raises UserError where an arm's run was trained on another subset of its name: both would go under one name in the ranking.
    """
    subsets = {arm.name: arm.subset for arm in arms}
    hashes = {name: hashlib.sha256(io.read_bytes(path)).hexdigest() for name, path in subsets.items()}
    seeds = [-1]
    for path, told in _runs(models):
        name = told.get("filter_name") or io.stem(str(told.get("subset", "")))
        if name not in subsets or told.get("scale") not in scales:
            continue
        if told.get("subset_sha256") != hashes[name]:
            raise UserError(
                f"{subsets[name]}: is not what {path.rsplit('/', 1)[0]} was trained on under the name {name}; "
                "rename one, or give another --models"
            )
        seeds.append(int(told.get("seed", 0)))
    return max(seeds) + 1


def require_same_tasks(results: Sequence[Result], digests: Mapping[str, str], eval_sets: str) -> None:
    """Raises UserError where standing results are of other items than the evaluation sets have: `rank` would refuse them."""
    for result in results:
        if digests.get(result.task, result.digest) != result.digest:
            raise UserError(
                f"{eval_sets}: {result.task} has other items than the results of {result.filter}, seed {result.seed}, that "
                "stand below --models; evaluate all on one folder, or give another --models"
            )


def _runs(models: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in files_below(models, CONFIG_NAME):
        try:
            told = json.loads(io.read_bytes(path))
        except ValueError as error:
            raise UserError(f"{path}: not JSON ({error}); remove that run, or give another --models") from error
        if isinstance(told, dict) and told.get("stage") == "train":
            yield path, told

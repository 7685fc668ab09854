"""DataComp's suite on a folder: which of its 38 sets are there, and what is said of them when they have been evaluated."""

import json
from collections.abc import Sequence
from typing import Any

from pipeline.evaluate.aggregate import lines_of_scores, scores_of
from pipeline.evaluate.datacomp import N_SETS, NOT_SUPPORTED, SETS
from pipeline.evaluate.results import Result, write_line
from pipeline.evaluate.sources.sets import Found
from schemas.errors import UserError


def chosen(found: Sequence[Found], folder: str) -> list[Found]:
    """DataComp's among the sets of a folder. Raises UserError where there is none."""
    ours = [each for each in found if {*each.names} & {*SETS}]
    if not ours:
        raise UserError(f"{folder}: none of DataComp's {N_SETS} sets by name (such as wds_imagenet1k_test); see docs/evaluate.md")
    return ours


def account(found: Sequence[Found], results: Sequence[Result]) -> dict[str, Any]:
    """For the manifest: names of what was evaluated, of what is missing, is no set of DataComp's or has another size there."""
    done = {result.task: len(next(iter(result.items.values()))) for result in results}
    there = [known for key, known in SETS.items() if key in done]
    return {
        "sets": [known.name for known in there],
        "of": N_SETS,
        "missing": [known.name for key, known in SETS.items() if key not in done],
        "left_out": sorted(name for each in found for name in each.names if name not in SETS),
        "other_sizes": {known.name: [done[known.key], known.images] for known in there if done[known.key] != known.images},
        "not_supported": sorted(NOT_SUPPORTED.values()),
    }


def text_of(results: Sequence[Result], told: dict[str, Any]) -> str:
    """What a user is told: the scores of every checkpoint and, where a set has not DataComp's size, which."""
    blocks = []
    for run, scores in scores_of([json.loads(write_line(result)) for result in results]).items():
        blocks += [f"{run[-1]} samples seen:", *lines_of_scores(scores)]
    for name, (here, there) in told["other_sizes"].items():
        blocks.append(f"{name}: {here} items here, {there} in DataComp: its score is not comparable")
    return "\n".join([*blocks, f"not supported, and none of the {N_SETS}: {', '.join(told['not_supported'])}"])

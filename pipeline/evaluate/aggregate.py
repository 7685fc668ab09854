"""Results of DataComp's sets → the aggregate scores that its aggregate_scores.py prints; of fewer sets only what they allow.

The mean over all 38 sets is DataComp's score and called Average, as there. A mean over fewer is told as what it is.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pipeline import io
from pipeline.cli import one_line
from pipeline.evaluate.datacomp import GROUPS, N_SETS, SETS
from schemas.errors import UserError

_OF_A_RUN = ("filter", "scale", "model", "seed", "samples_seen")  # lines of DataComp's own tell of one model alone


def aggregate_text(paths: Sequence[str]) -> str:
    """The scores of every model that results files tell of; what model where there are several. Raises UserError."""
    blocks = [(path, run, scores) for path in paths for run, scores in _by_model(path).items()]
    several = len(blocks) > 1
    return "\n\n".join("\n".join([*_heading(path, run, several), *lines_of_scores(scores)]) for path, run, scores in blocks)


def lines_of_scores(scores: Mapping[str, float]) -> list[str]:
    """Scores by DataComp's keys as lines: byte for byte those of aggregate_scores.py where all 38 are there."""
    lines = [f"ImageNet: {scores['imagenet1k']:.3f}"] if "imagenet1k" in scores else []
    for group, keys in GROUPS.items():
        there = [scores[key] for key in keys if key in scores]
        if len(there) == len(keys):
            lines.append(f"{group}: {np.mean(there):.3f}")
        elif there:
            lines.append(f"{group}, mean over {len(there)} of {len(keys)} sets: {np.mean(there):.3f}")
    if len(scores) == N_SETS:
        return [*lines, f"Average: {np.mean(list(scores.values())):.3f}"]
    missing = [known.name for key, known in SETS.items() if key not in scores]
    mean = [f"mean over {len(scores)} of {N_SETS} sets: {np.mean(list(scores.values())):.3f}"] if scores else []
    return [*lines, *mean, f"missing, so no average of DataComp's: {', '.join(missing)}"]


def scores_of(lines: Iterable[Mapping[str, Any]]) -> dict[tuple[Any, ...], dict[str, float]]:
    """Model → main metric by DataComp's key. Sets that are not DataComp's, and those without a main metric, do not count."""
    found: dict[tuple[Any, ...], dict[str, float]] = defaultdict(dict)
    for line in lines:
        main = line["metrics"].get("main_metric")
        scores = found[tuple(line.get(name) for name in _OF_A_RUN)]
        if line["key"] in SETS and main is not None:
            scores[line["key"]] = float(main)
    return dict(found)


def _by_model(path: str) -> dict[tuple[Any, ...], dict[str, float]]:
    try:
        lines = [json.loads(line) for line in io.read_bytes(path).splitlines() if line.strip()]
        found = scores_of(lines)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise UserError(
            f"{path}: no results, one JSON object per line ({error}); give what `evaluate` or DataComp wrote"
        ) from error
    if not found:
        raise UserError(f"{path}: no results in it; give what `evaluate` or DataComp wrote")
    return found


def _heading(path: str, run: tuple[Any, ...], several: bool) -> list[str]:
    told = ", ".join(f"{name} {value}" for name, value in zip(_OF_A_RUN, run, strict=True) if value is not None)
    return [one_line(f"{path}{': ' * bool(told)}{told}")] if several else []

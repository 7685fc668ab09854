"""Results of one run on disk: FILE.jsonl in DataComp's keys, FILE.items.npz with every item's score. Written and read here."""

import json
import math
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from pipeline import io
from schemas.errors import UserError

RESULTS_NAME = "results.jsonl"
# What NumPy, zipfile and json raise for bytes that are not theirs.
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One task at one checkpoint of one run. `items`: metric → (n,) float32, its mean is the metric."""

    filter: str
    scale: str
    model: str
    seed: int
    samples_seen: int
    rows: int  # pairs in the subset the model was trained on
    task: str
    dataset: str
    digest: str  # of the task's files
    main_metric: str
    flops_per_sample: float | None = None  # of training on one pair, forward and backward, where `train` told it
    items: dict[str, np.ndarray] = field(repr=False)


def items_path(path: str) -> str:
    """Where the items of a results file stand."""
    return path.removesuffix(".jsonl") + ".items.npz"


def write_line(result: Result) -> str:
    """The result as a line with DataComp's keys (key, dataset, metrics with main_metric) and ours."""
    metrics = {name: float(np.mean(values, dtype=np.float64)) for name, values in result.items.items()}
    metrics["main_metric"] = metrics[result.main_metric]
    ours = ("filter", "scale", "model", "seed", "samples_seen", "rows", "digest", "main_metric")
    line: dict[str, Any] = {
        "key": result.task,
        "dataset": result.dataset,
        "metrics": metrics,
        **{name: getattr(result, name) for name in ours},
    }
    if result.flops_per_sample is not None:
        line["flops_per_sample"] = result.flops_per_sample
    return json.dumps(line, ensure_ascii=False) + "\n"


def write_items(results: list[Result], file: IO[bytes]) -> None:
    """The items of all results, under task/samples_seen/metric."""
    arrays = {_key(r.task, r.samples_seen, name): values for r in results for name, values in r.items.items()}
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def read_results(path: str) -> list[Result]:
    """The results of a file, with their items.

    Raises UserError where either file is missing, cut short or not what `evaluate` writes.
    """
    lines = [line for line in io.read_bytes(path).splitlines() if line.strip()]
    beside = items_path(path)
    with io.open_read(beside) as file:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                results = [_result(json.loads(line), arrays) for line in lines]
                _require_all(results, arrays)
        except _DAMAGE as error:
            raise UserError(
                f"{path}, {beside}: not the two files that `evaluate` writes together ({error}); "
                "run `webpairs evaluate` on that run again"
            ) from error
    return results


def _require_all(results: list[Result], arrays: Mapping[str, np.ndarray]) -> None:
    """A file that lost lines reads well; the items know of them. Else its seed would be missing and nobody told."""
    told = {_key(result.task, result.samples_seen, name) for result in results for name in result.items}
    lost = sorted({*arrays} - told)
    if lost or not told:
        raise ValueError(f"items of {lost[0]}, no such result" if lost else "no results")


def _result(line: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Result:
    names = [name for name in line["metrics"] if name != "main_metric"]
    items = {name: arrays[_key(line["key"], line["samples_seen"], name)] for name in names}
    for name, values in items.items():
        if not math.isclose(np.mean(values, dtype=np.float64), line["metrics"][name], abs_tol=1e-6):
            raise ValueError(f"{line['key']}, {name}: the items' mean is not the metric")
    copied = {name: str(line[name]) for name in ("filter", "scale", "model", "dataset", "digest", "main_metric")}
    numbers = {name: int(line[name]) for name in ("seed", "samples_seen", "rows")}
    flops = line.get("flops_per_sample")
    return Result(
        task=str(line["key"]),
        items=items,
        flops_per_sample=None if flops is None else float(flops),
        **copied,  # type: ignore[arg-type]
        **numbers,  # type: ignore[arg-type]
    )


def _key(task: str, samples_seen: int, metric: str) -> str:
    # A set may be named after a folder whose name is not UTF-8, which a zip's names have to be.
    return f"{task}/{samples_seen}/{metric}".encode("utf-8", "backslashreplace").decode()

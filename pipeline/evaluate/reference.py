"""One reference model, all its checkpoints, all tasks: results.jsonl, results.items.npz and, written last, results.json."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline import io
from pipeline.clip import Clip, load_clip
from pipeline.evaluate.metrics import MAIN_CLASSIFICATION, MAIN_RETRIEVAL
from pipeline.evaluate.results import RESULTS_NAME, Result, items_path, write_items, write_line
from pipeline.evaluate.tasks import Classification, Task, digest, read_tasks, task_files
from pipeline.evaluate.zero_shot import decode_images, score_items
from pipeline.manifest import (
    InputReport,
    Manifest,
    Run,
    hash_of,
    manifest_from_json,
    output_config,
    to_json,
)
from pipeline.progress import progress
from pipeline.stage import require_complete
from pipeline.train.reference import TRAIN_JSON, checkpoint_name
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.evaluate import EvaluateConfig

_TOLD = {"filter": str, "scale": str, "model": str, "seed": int, "rows": int, "checkpoints": list}


@dataclass(frozen=True)
class _Model:
    """A trained run: what train.json tells of it, and samples seen → the model as it was then."""

    told: dict[str, Any]
    clips: dict[int, Clip]


def evaluate(config: "EvaluateConfig") -> Manifest:
    """See pipeline.evaluate.run."""
    out = config.out or io.join(config.model, RESULTS_NAME)
    if config.batch_size < 1 or not out.endswith(".jsonl"):
        raise UsageError(f"--batch-size {config.batch_size} must be at least 1, and --out {out} must end in .jsonl")
    config = replace(config, out=out)
    told, files = _read_run(config), task_files(config.eval)
    run = Run.begun("evaluate", out, _described(config, files))
    standing = _standing(out, run.described)
    if standing:
        return standing
    for path in (items_path(out), out, _account_path(out)):
        io.require_writable(path)
    model = _Model(told, _load(config, told))
    results: list[Result] = []
    reports = []
    for path in progress(files, total=len(files), label=f"evaluate {told['filter']}", unit="task"):
        found, report = _evaluate_file(path, model, config.batch_size)
        results += found
        reports.append(report)
    _refuse(results, reports, config.eval)
    _write(results, out)
    manifest = _manifest(run, results, reports)
    with io.atomic_write(_account_path(out)) as file:
        file.write(to_json(manifest))
    return manifest


def _read_run(config: "EvaluateConfig") -> dict[str, Any]:
    require_complete(config.model)
    path = io.join(config.model, TRAIN_JSON)
    if not io.exists(path):
        raise UserError(f"{config.model}: no {TRAIN_JSON} in it; give the folder of one run of `train` (…/FILTER/SCALE/seed_N)")
    try:
        return _told(io.read_bytes(path))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not what `train` writes ({error}); remove {config.model} and train again") from error


def _told(content: bytes) -> dict[str, Any]:
    """What train.json tells of a run. Raises ValueError, KeyError or TypeError where it lacks what an evaluation needs."""
    told = json.loads(content)
    wrong = [name for name, kind in _TOLD.items() if not isinstance(told[name], kind)]
    if wrong or not told["checkpoints"] or not all(isinstance(seen, int) for seen in told["checkpoints"]):
        raise ValueError(f"wrong values of {', '.join(wrong) or 'checkpoints'}")
    return dict(told)


def _load(config: "EvaluateConfig", told: dict[str, Any]) -> dict[int, Clip]:
    """Every checkpoint of the run, by samples seen. Raises UserError for a device or a checkpoint that will not do."""
    paths = {seen: io.join(config.model, checkpoint_name(seen)) for seen in told["checkpoints"]}
    return {seen: load_clip(told["model"], path, device=config.device) for seen, path in paths.items()}


def _evaluate_file(path: str, model: _Model, batch_size: int) -> tuple[list[Result], InputReport]:
    """The results of one task file, and what became of it: a bad one costs only itself."""
    try:
        tasks = read_tasks(path)
        name = digest(path)
        results = [result for task in tasks for result in _results(task, name, model, batch_size)]
    except UserError as error:
        return [], InputReport(path=path, status="failed", error=str(error))
    return results, InputReport(path=path, rows=len(tasks[0].images))


def _results(task: Task, name: str, model: _Model, batch_size: int) -> list[Result]:
    pixels = decode_images(task, next(iter(model.clips.values())).image_size_px)
    told = {key: model.told[key] for key in ("filter", "scale", "model", "seed", "rows")}
    main = MAIN_CLASSIFICATION if isinstance(task, Classification) else MAIN_RETRIEVAL
    return [
        Result(
            **told,
            samples_seen=seen,
            task=task.name,
            dataset=task.dataset,
            digest=name,
            main_metric=main,
            items=score_items(clip, task, pixels, batch_size),
        )
        for seen, clip in model.clips.items()
    ]


def _refuse(results: Sequence[Result], reports: Sequence[InputReport], folder: str) -> None:
    if not results:
        raise UserError(f"{folder}: no task could be evaluated ({reports[0].error})")
    keys = [(result.task, result.samples_seen) for result in results]
    double = next((key for key in keys if keys.count(key) > 1), None)
    if double:
        raise UserError(f"{folder}: two files define the task {double[0]}; rename one")


def _write(results: Sequence[Result], out: str) -> None:
    with io.atomic_write(items_path(out)) as file:
        write_items(list(results), file)
    with io.atomic_write(out) as file:
        file.write("".join(map(write_line, results)).encode("utf-8", "backslashreplace"))


def _described(config: "EvaluateConfig", files: Sequence[str]) -> dict[str, Any]:
    """What decides the results; the run's own folder counts by its config, not by where it stands."""
    digests = {io.stem(path): digest(path) for path in files}
    return {"stage": "evaluate", **output_config(config), "upstream": require_complete(config.model), "tasks": digests}


def _standing(out: str, described: dict[str, Any]) -> Manifest | None:
    """The account of results that stand already and were made the same way."""
    if not all(io.exists(path) for path in (out, items_path(out), _account_path(out))):
        return None
    try:
        manifest = manifest_from_json(io.read_bytes(_account_path(out)))
    except (ValueError, KeyError, TypeError):  # damaged, as after a power cut: then the results are made again
        return None
    return manifest if manifest.config_hash == hash_of(described) and not manifest.failed_inputs else None


def _account_path(out: str) -> str:
    return out.removesuffix("l")


def _manifest(run: Run, results: Sequence[Result], reports: Sequence[InputReport]) -> Manifest:
    good = [report for report in reports if report.status == "ok"]
    return run.manifest(
        counts={"rows_in": sum(r.rows for r in good), "results": len(results), "failed_tasks": len(reports) - len(good)},
        inputs=reports,
        parts=(io.stem(report.path) for report in good),
        facts={},
    )

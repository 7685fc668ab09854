"""One reference model, all its checkpoints, all tasks: results.jsonl, results.items.npz and, written last, results.json."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from pipeline import io
from pipeline.evaluate import suite
from pipeline.evaluate.models import Source, source_of
from pipeline.evaluate.results import RESULTS_NAME, Result, items_path, write_items, write_line
from pipeline.evaluate.sources.sets import Found, find_sets
from pipeline.evaluate.zero_shot import Models, gather, score
from pipeline.manifest import InputReport, Manifest, Run, hash_of, manifest_from_json, output_config, to_json
from pipeline.progress import progress
from schemas.errors import LostDeviceError, UsageError, UserError

if TYPE_CHECKING:
    from pipeline.evaluate import EvaluateConfig

_TOLD = ("filter", "scale", "model", "seed", "rows")


def evaluate(config: "EvaluateConfig") -> Manifest:
    """See pipeline.evaluate.run."""
    out = config.out or io.join(str(config.model), RESULTS_NAME)
    if not out.endswith(".jsonl"):
        raise UsageError(f"--out {out}: must end in .jsonl")
    config = replace(config, out=out)
    source, found = source_of(config), find_sets(str(config.eval))
    wanted = suite.chosen(found, str(config.eval)) if config.suite == "datacomp" else found
    run = Run.begun("evaluate", out, _described(config, source, wanted))
    standing = _standing(out, run.described)
    if standing:
        return standing
    for path in (items_path(out), out, _account_path(out)):
        io.require_writable(path)
    results, reports = _evaluate_all(config, source, wanted)
    if not results:
        raise UserError(f"{config.eval}: no task could be evaluated ({reports[0].error})")
    io.remove(_account_path(out))  # until all is written it would vouch for a mixture of old and new
    _write(results, out)
    facts = {"suite": suite.account(found, results)} if config.suite == "datacomp" else {}
    if facts:
        print(suite.text_of(results, facts["suite"]))
    manifest = _manifest(run, results, reports, facts)
    with io.atomic_write(_account_path(out)) as file:
        file.write(to_json(manifest))
    return manifest


def _evaluate_all(config: "EvaluateConfig", source: Source, found: Sequence[Found]) -> tuple[list[Result], list[InputReport]]:
    clips = source.load(device=config.device, precision=config.precision)
    models = Models(list(clips.values()))
    results: list[Result] = []
    reports = []
    for each in progress(found, total=len(found), label=f"evaluate {source.told['filter']}", unit="set"):
        of_set, report = _evaluate_set(each, source.told, list(clips), models, config)
        results += of_set
        reports.append(report)
    return results, reports


def _evaluate_set(
    found: Found, told: dict[str, Any], seen: Sequence[int], models: Models, config: "EvaluateConfig"
) -> tuple[list[Result], InputReport]:
    """The results of one set, and what became of it: a bad one costs only itself."""
    results = []
    try:
        eval_set = found.open()
        threads = max(config.workers, torch.get_num_threads())  # decoding leaves Python's lock to others
        gathered = gather(eval_set, models, batch_size=config.batch_size, threads=threads)
        for task in eval_set.tasks:
            for samples_seen, items in zip(seen, score(task, gathered, models, config.batch_size), strict=True):
                if task.main_metric not in items:
                    raise UserError(f"{found.path}: has no item that {task.main_metric} is taken of")
                result = Result(
                    **{name: told[name] for name in _TOLD},
                    samples_seen=samples_seen,
                    task=task.name,
                    dataset=task.dataset,
                    digest=gathered.digest,
                    main_metric=task.main_metric,
                    flops_per_sample=told.get("flops_per_sample"),
                    items=items,
                )
                results.append(result)
    except LostDeviceError:
        raise
    except Exception as error:  # noqa: BLE001 - files of others, and every library has its own words for bad ones
        text = str(error) if isinstance(error, UserError | OSError) else f"{type(error).__name__}: {error}"
        return [], InputReport(path=found.path, status="failed", error=text)
    return results, InputReport(path=found.path, rows=len(gathered.known))


def _write(results: Sequence[Result], out: str) -> None:
    with io.atomic_write(items_path(out)) as file:
        write_items(list(results), file)
    with io.atomic_write(out) as file:
        file.write("".join(map(write_line, results)).encode("utf-8", "backslashreplace"))


def _described(config: "EvaluateConfig", source: Source, found: Sequence[Found]) -> dict[str, Any]:
    """What decides the results; the run's own folder counts by its config, not by where it stands."""
    tasks = {" ".join(each.names): _standing_of(each) for each in found}
    return {"stage": "evaluate", **output_config(config), "upstream": source.upstream, "tasks": tasks}


def _standing_of(found: Found) -> str:
    try:
        return found.standing()
    except (UserError, OSError) as error:  # it cannot be evaluated either, and is told of then
        return str(error)


def _standing(out: str, described: dict[str, Any]) -> Manifest | None:
    """The account of results that stand already and were made the same way."""
    if not all(io.exists(path) for path in (out, items_path(out), _account_path(out))):
        return None
    try:
        manifest = manifest_from_json(io.read_bytes(_account_path(out)))
    except (ValueError, KeyError, TypeError, RecursionError):  # damaged, as after a power cut: then the results are made again
        return None
    return manifest if manifest.config_hash == hash_of(described) and not manifest.failed_inputs else None


def _account_path(out: str) -> str:
    return out.removesuffix("l")


def _manifest(run: Run, results: Sequence[Result], reports: Sequence[InputReport], facts: dict[str, Any]) -> Manifest:
    good = [report for report in reports if report.status == "ok"]
    return run.manifest(
        counts={"rows_in": sum(r.rows for r in good), "results": len(results), "failed_tasks": len(reports) - len(good)},
        inputs=reports,
        parts=(io.stem(report.path) for report in good),
        facts=facts,
    )

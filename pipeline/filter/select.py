"""The selection: a filter over the metadata files → the subset's .npy and the account beside it."""

import dataclasses
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from filters.compose import narrowed, resolve, rules_of
from filters.contract import Draw, Filter, columns_of, holds_threads
from filters.registry import Context, find, takes
from pipeline import io
from pipeline.filter import FilterConfig
from pipeline.filter.account import LARGE_POOL_ROWS, Waterfall, account
from pipeline.filter.on_spark import filter_on_spark
from pipeline.filter.one_file import FileResult, filter_file
from pipeline.filter.recipe import Recipe, members_of, merged, named, parameters_from, read_recipe
from pipeline.manifest import Manifest, Run, output_config, to_json
from pipeline.metadata.files import MetadataFile, columns_at_hand, metadata_files, rows_of
from pipeline.metadata.read import ReadablePool, require_scored
from pipeline.progress import progress
from pipeline.stage import require_complete
from pipeline.subset_file import read_subset, write_subset
from pipeline.workers import worker_processes
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE, sort_rows

# Options that are parameters of filters, under the same name.
_OPTIONS = ("arch", "threshold", "fraction", "image_based_scale", "seed", "lid_model", "assets")


def select(config: FilterConfig, spark: Any = None) -> Manifest:
    """Do the selection that `config` asks for: NAME.json is written last."""
    folders = {folder: require_complete(folder) for folder in (config.metadata_dir, *config.beside)}
    files = metadata_files(config.metadata_dir, config.beside)
    recipe = _recipe(config, Context(columns=columns_at_hand(files)))
    described = {"stage": "filter", **output_config(config), "upstream": folders, "files": recipe.files}
    run = Run.begun("filter", config.save_path, described)
    require_scored(config.metadata_dir, files, columns_of(*members_of(recipe)))
    pool = ReadablePool(files)
    with pool.blamed():
        chosen = resolve(recipe.keep, pool)
        drawn = recipe.sample.draw(narrowed(pool, chosen)) if recipe.sample is not None else None
    results = _results(chosen, drawn, files, config, spark)
    _require_readable(results, config)
    kept = sort_rows(np.concatenate([np.empty(0, SUBSET_DTYPE), *(result.kept for result in results)]))
    waterfall = Waterfall.total(rules_of(chosen), [result.waterfall for result in results])
    manifest = run.manifest(
        counts=_counts(waterfall, kept, results, drawn is not None),
        inputs=(result.report for result in results),
        parts=(io.stem(result.report.path) for result in results if result.report.status != "failed"),
        facts=account(recipe, chosen, waterfall),
        peaks=(result.peak_rss_bytes for result in results),
    )
    _save(config.save_path, kept, manifest)
    return manifest


def _require_readable(results: Sequence[FileResult], config: FilterConfig) -> None:
    """Nothing is written where files are missing unasked, or where all are: a smaller subset would look like a strict filter."""
    failures = [result.report for result in results if result.report.status == "failed"]
    if not failures:
        return
    error = failures[0].error.removeprefix(f"{failures[0].path}: ")
    if len(failures) == len(results):
        raise UserError(f"{failures[0].path}: {error}; no file of the metadata can be used ({len(results)} tried)")
    if config.damaged == "refuse":
        others = f", and {len(failures) - 1} others" if len(failures) > 1 else ""
        raise UserError(f"{failures[0].path}: {error}{others}; mend them, or leave them out with --damaged skip")


def _counts(waterfall: Waterfall, kept: np.ndarray, results: Sequence[FileResult], repeats: bool) -> dict[str, int]:
    skipped = sum(result.report.status == "failed" for result in results)
    counts = {"rows_in": waterfall.rows_in, "rows_out": len(kept), **waterfall.dropped()}
    if repeats:
        counts |= {"rows_kept": waterfall.rows_in - int(waterfall.in_order.sum()), "distinct_rows_out": len(np.unique(kept))}
    return counts | ({"skipped_files": skipped} if skipped else {})


def _recipe(config: FilterConfig, context: Context) -> Recipe:
    options: dict[str, Any] = {name: value for name in _OPTIONS if (value := getattr(config, name)) is not None}
    given = merged(options, parameters_from(config.param))
    if config.like is not None:
        known = "rows" if config.recipe is not None or "rows" in takes(find(config.name or "")) else "like"
        given = merged(given, {known: len(read_subset(config.like))})
    if config.recipe is not None:
        return read_recipe(config.recipe, given, context)
    return named(config.name or "", given, context)


def _results(
    chosen: Filter, drawn: Draw | None, files: Sequence[MetadataFile], config: FilterConfig, spark: Any
) -> list[FileResult]:
    if spark is None:
        return list(progress(_map(chosen, drawn, files, config), total=len(files), label="filter", unit="file"))
    return filter_on_spark(spark, (chosen, drawn), files, config.save_path, sampled=_is_large(files))


def _map(chosen: Filter, drawn: Draw | None, files: Sequence[MetadataFile], config: FilterConfig) -> Iterable[FileResult]:
    """The results in the order of the files. Arrow and NumPy leave other threads alone; Python does not."""
    workers, work = min(config.num_workers or config.workers, len(files)), partial(filter_file, chosen, drawn, _is_large(files))
    if workers == 1:
        yield from map(work, files)
    elif holds_threads(chosen):
        with worker_processes(workers, ready="pipeline.filter.ready") as processes:
            yield from processes.map(work, files, chunksize=max(1, min(8, len(files) // (4 * workers))))
    else:
        with ThreadPoolExecutor(workers) as threads:
            yield from threads.map(work, files)


def _is_large(files: Sequence[MetadataFile]) -> bool:
    """Whether the pool has many rows, if its first file is like the others."""
    return bool(files) and rows_of(files[0]) * len(files) > LARGE_POOL_ROWS


def _save(save_path: str, kept: np.ndarray, manifest: Manifest) -> None:
    stem = save_path.removesuffix(".npy")  # like np.save, which adds the suffix where it is missing
    io.remove(f"{stem}.json")  # killed in between, no account of another subset stands beside this one
    write_subset(f"{stem}.npy", kept)
    described = dataclasses.asdict(manifest)
    with io.atomic_write(f"{stem}.json") as file:
        file.write(to_json({**described.pop("facts"), **described}))

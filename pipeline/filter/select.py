"""The selection: a named filter over the metadata files → the subset's .npy and the account beside it."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from filters.compose import rules_of
from filters.contract import Filter, Selector, columns_of
from filters.registry import Request, build
from pipeline import io
from pipeline.filter import FilterConfig
from pipeline.filter.account import Waterfall, account
from pipeline.filter.metadata import columns_at_hand, metadata_files, read_batches, read_readable, require_scored
from pipeline.manifest import InputReport, Manifest, Run, output_config, peak_rss_bytes, to_json
from pipeline.progress import progress
from pipeline.stage import require_complete
from pipeline.subset_file import read_subset, write_subset
from pipeline.workers import worker_processes
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE, sort_rows, uid_rows


@dataclass(frozen=True)
class FileResult:
    """What one metadata file gave: its kept uids, (n,) `u8,u8`, and the account of it."""

    kept: np.ndarray
    waterfall: Waterfall
    report: InputReport
    peak_rss_bytes: int


def select(config: FilterConfig) -> Manifest:
    """Do the selection that `config` asks for: NAME.json is written last."""
    described = {"stage": "filter", **output_config(config), "upstream": require_complete(config.metadata_dir)}
    run = Run.begun("filter", config.save_path, described)
    files = metadata_files(config.metadata_dir)
    asked = build(_request(config, columns_at_hand(files)))
    require_scored(config.metadata_dir, files, asked.reads)
    chosen = asked.resolve(partial(read_readable, files, asked.reads)) if isinstance(asked, Selector) else asked
    results = list(progress(_map(chosen, files, config), total=len(files), label="filter", unit="file"))
    _require_some(results)
    kept = sort_rows(np.concatenate([np.empty(0, SUBSET_DTYPE), *(result.kept for result in results)]))
    waterfall = Waterfall.total(rules_of(chosen), [result.waterfall for result in results])
    manifest = run.manifest(
        counts={"rows_in": waterfall.rows_in, "rows_out": len(kept), **waterfall.dropped()},
        inputs=(result.report for result in results),
        parts=(io.stem(result.report.path) for result in results if result.report.status != "failed"),
        facts=account(config.name, asked, chosen, waterfall),
        peaks=(result.peak_rss_bytes for result in results),
    )
    _save(config.save_path, kept, manifest)
    return manifest


def filter_file(chosen: Filter, path: str) -> FileResult:
    """Apply the filter to one file. A file that cannot be used is reported, not raised."""
    rules = rules_of(chosen)
    waterfall, kept = Waterfall(rules), [np.empty(0, SUBSET_DTYPE)]
    try:
        for batch in read_batches(path, tuple(dict.fromkeys((*columns_of(chosen), "uid")))):
            mask = waterfall.add([np.asarray(rule.keep(batch)) for rule in rules], batch.num_rows)
            kept.append(uid_rows(batch["uid"].filter(mask).to_pylist()))
    except (UserError, ValueError, TypeError) as error:  # TypeError: a column of a type that it cannot have
        return FileResult(kept[0], Waterfall(rules), InputReport(path=path, status="failed", error=str(error)), peak_rss_bytes())
    return FileResult(np.concatenate(kept), waterfall, InputReport(path=path, rows=waterfall.rows_in), peak_rss_bytes())


def _require_some(results: Sequence[FileResult]) -> None:
    """Nothing is written where nothing was read: an empty subset would look like a strict filter."""
    if all(result.report.status == "failed" for result in results):
        first = results[0].report
        error = first.error.removeprefix(f"{first.path}: ")
        raise UserError(f"{first.path}: {error}; no file of the metadata can be used ({len(results)} tried)")


def _request(config: FilterConfig, columns: tuple[str, ...]) -> Request:
    return Request(
        name=config.name,
        columns=columns,
        arch=config.arch,
        threshold=config.threshold,
        fraction=config.fraction,
        seed=config.seed,
        like_rows=None if config.like is None else len(read_subset(config.like)),
        lid_model=config.lid_model,
    )


def _map(chosen: Filter, files: Sequence[str], config: FilterConfig) -> Iterable[FileResult]:
    workers = min(config.num_workers or config.workers, len(files))
    if workers == 1:
        yield from map(partial(filter_file, chosen), files)
        return
    with worker_processes(workers) as pool:
        yield from pool.map(partial(filter_file, chosen), files)


def _save(save_path: str, kept: np.ndarray, manifest: Manifest) -> None:
    stem = save_path.removesuffix(".npy")  # like np.save, which adds the suffix where it is missing
    write_subset(f"{stem}.npy", kept)
    described = dataclasses.asdict(manifest)
    with io.atomic_write(f"{stem}.json") as file:
        file.write(to_json({**described.pop("facts"), **described}))

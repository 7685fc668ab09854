"""What every stage shares: parts that are done once, written whole or not at all, and accounted for in a manifest.

In: a config, the parts to do and one function that does a part. Out: the stage's folder and its Manifest. The folder holds
the data files, `_config.json` (what it was made with), `_parts/NAME.json` (written last: the part is done) and, when all is
done, `_manifest.json`.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any

from pipeline import io
from pipeline.ledger import reports_of, watched, write_report
from pipeline.manifest import (
    CONFIG_NAME,
    MANIFEST_NAME,
    PARTS_FOLDER,
    InputReport,
    Manifest,
    PartReport,
    Run,
    hash_of,
    output_config,
    peak_rss_bytes,
    to_json,
    total,
)
from pipeline.progress import progress
from pipeline.workers import each_in_a_worker
from schemas.errors import UsageError, UserError


@dataclass(frozen=True, kw_only=True)
class Part:
    """A unit of work: its name (that of its output files) and the inputs it reads."""

    name: str
    inputs: tuple[str, ...] = ()


class PartFolder:
    """Where a part writes: files appear under their names together, when the part is done."""

    def __init__(self, folder: str, part: Part) -> None:
        self.folder = folder
        self.part = part
        self._pending: dict[str, str] = {}

    def path(self, name: str) -> str:
        """The temporary path of the output file `name`, for a writer that opens it itself."""
        if name not in self._pending:
            self._pending[name] = io.temporary_name(io.join(self.folder, name))
        return self._pending[name]

    def open(self, name: str) -> IO[bytes]:
        """Open the output file `name` for writing."""
        return io.open_write(self.path(name))

    def commit(self) -> tuple[str, ...]:
        """Give every file its name; the names in order of writing."""
        for name, temporary in self._pending.items():
            io.move(temporary, io.join(self.folder, name))
        return tuple(self._pending)

    def discard(self) -> None:
        """Remove what was written."""
        for temporary in self._pending.values():
            io.remove(temporary)


Work = Callable[[Any, Part, PartFolder], PartReport]


def run_stage(
    stage: str, config: Any, parts: Sequence[Part], work: Work, *, out: str, upstream: Sequence[str] = (), spark: Any = None
) -> Manifest:
    """Do the parts that are not done yet, on Spark, on worker processes or here, and write the manifest.

    `work(config, part, folder)` must be a module-level function: it travels to other processes. What it raises costs its part
    only. `out` is the stage's folder; `upstream` the folders it reads: what stands in them is part of this one's config.
    Raises UserError where the folder was made with another config or from other data.
    """
    run = begin(stage, config, out=out, upstream=upstream)
    # What was read only in part is read again: its input may have been mended.
    done = {name: report for name, report in done_parts(out, parts).items() if not report.damaged}
    todo = [part for part in parts if part.name not in done]
    doing = partial(_do_part, work, config, io.absolute(out))  # executors have working directories of their own
    fresh = _on_spark(spark, doing, todo, run) if spark is not None else _here(doing, todo, config.workers, stage)
    reports = {report.name: report for report in [*done.values(), *fresh]}
    return end(run, [reports[part.name] for part in parts], resumed=len(done))


def begin(stage: str, config: Any, *, out: str, upstream: Sequence[str] = ()) -> Run:
    """Make the stage's folder or take up the one that stands. Raises UserError where it was made with another config.

    For a stage whose parts do not fit `run_stage` (a shuffle, a training run): `begin`, its own work with `part_folder` and
    `write_report`, `end`.
    """
    described = {"stage": stage, **output_config(config)}
    described.pop("out", None)
    for folder in upstream:
        if io.is_same(folder, out):
            raise UsageError(f"{out}: --out is the folder that {stage} reads; give another, so that nothing is overwritten")
        described[f"upstream {folder}"] = require_complete(folder)
    path = io.join(out, CONFIG_NAME)
    if io.exists(path):
        _refuse_other(out, described, _read_json(path))
    else:
        io.make_folder(out)
        with io.atomic_write(path) as file:
            file.write(to_json(described))
    io.remove(io.join(out, MANIFEST_NAME))
    for folder in (out, io.join(out, PARTS_FOLDER)):
        io.sweep(folder)
    return Run.begun(stage, out, described)


def end(run: Run, reports: Sequence[PartReport], *, resumed: int = 0, facts: Mapping[str, Any] | None = None) -> Manifest:
    """Write and return the manifest over all parts' reports, and `facts` beside theirs: from now on the folder is complete."""
    manifest = run.manifest(
        content_hash=_content_hash(run.out, {name for report in reports for name in report.files}),
        counts=total([report.counts for report in reports]),
        inputs=(i for report in reports for i in report.inputs),
        parts=(report.name for report in reports if not report.failed),
        resumed=resumed,
        facts={**{report.name: report.facts for report in reports if report.facts}, **(facts or {})},
        peaks=(report.peak_rss_bytes for report in reports),
    )
    with io.atomic_write(io.join(run.out, MANIFEST_NAME)) as file:
        file.write(to_json(manifest))
    return manifest


def require_complete(folder: str) -> str:
    """A hash of what stands in a folder that is to be read: it changes when a file is added, removed or made anew.

    Raises UserError where the folder is not there or its stage has not finished.
    """
    if not io.exists(folder):
        raise UserError(f"{folder}: no such folder")
    if not io.exists(io.join(folder, CONFIG_NAME)):
        return _content_hash(folder, io.sizes(folder))  # no stage of ours made it
    manifest = io.join(folder, MANIFEST_NAME)
    if not io.exists(manifest):
        stage = _read_json(io.join(folder, CONFIG_NAME)).get("stage", "its stage")
        raise UserError(f"{folder}: `{stage}` has not finished there; run the same command again to complete it")
    found = _read_json(manifest)
    if not isinstance(found.get("config_hash"), str):
        raise UserError(f"{manifest}: not a manifest (no config_hash); remove it and run the stage that made the folder again")
    return hash_of({"config": found["config_hash"], "content": found.get("content_hash")})


def _content_hash(folder: str, names: Collection[str]) -> str:
    """Names and sizes of some of a folder's files, as a hash."""
    return hash_of({"files": sorted((name, size) for name, size in io.sizes(folder).items() if name in names)})


@contextmanager
def part_folder(folder: str, part: Part) -> Iterator[PartFolder]:
    """A PartFolder that leaves nothing behind when the block raises."""
    with ExitStack() as stack:
        files = PartFolder(folder, part)
        stack.callback(files.discard)
        yield files
        stack.pop_all()


def _do_part(work: Work, config: Any, out: str, part: Part) -> PartReport:
    started = time.monotonic()
    try:
        with part_folder(out, part) as folder:
            report = work(config, part, folder)
            files = folder.commit()
        took = round(time.monotonic() - started, 3)
        report = replace(report, files=files, duration_s=took, peak_rss_bytes=peak_rss_bytes())
    except Exception as error:  # noqa: BLE001 - one bad input costs its part, never the job; the manifest names it
        io.require_room(out, error)
        return _failed(part, str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    write_report(out, report)
    return report


def _here(do: Callable[[Part], PartReport], parts: Sequence[Part], workers: int, stage: str) -> list[PartReport]:
    reports = each_in_a_worker(do, parts, workers, lost=_lost) if workers > 1 else map(do, parts)
    return list(progress(reports, total=len(parts), label=stage))


def _on_spark(spark: Any, do: Callable[[Part], PartReport], parts: Sequence[Part], run: Run) -> list[PartReport]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    if not parts:
        return []
    tasks = spark.sparkContext.parallelize(parts, len(parts)).map(do)
    try:
        return watched(tasks.collect, run.out, total=len(parts), label=run.stage)
    except (PySparkException, Py4JError) as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if "Exception" in line or "Error" in line), str(error)[:300]
        )
        raise UserError(f"{run.stage}: Spark gave up ({reason}); run the same command again to go on where it stopped") from error


def _lost(part: Part) -> PartReport:
    return _failed(part, "the worker process died on it (killed, or out of memory)")


def _failed(part: Part, message: str) -> PartReport:
    failures = tuple(InputReport(path=path, status="failed", error=message) for path in part.inputs or (part.name,))
    return PartReport(name=part.name, inputs=failures, counts={"failed_parts": 1})


def done_parts(folder: str, parts: Sequence[Part]) -> dict[str, PartReport]:
    """The reports, by name, of the parts that stand whole in the folder."""
    return reports_of(folder, [part.name for part in parts])


def _refuse_other(folder: str, wanted: dict[str, Any], found: dict[str, Any]) -> None:
    differing = sorted(key for key in {*wanted, *found} if wanted.get(key) != found.get(key))
    if differing:
        changes = "; ".join(f"{key}: {found.get(key)!r} there, {wanted.get(key)!r} now" for key in differing)
        raise UserError(
            f"{folder}: made with another configuration ({changes}); give another --out, or remove the folder to start anew"
        )


def _read_json(path: str) -> dict[str, Any]:
    try:
        found = json.loads(io.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); remove this folder and run the stage that made it again") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a JSON object; remove this folder and run the stage that made it again")
    return found

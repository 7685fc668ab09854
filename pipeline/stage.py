"""What every stage shares: parts that are done once, written whole or not at all, and accounted for in a manifest.

In: a config, the parts to do and one function that does a part. Out: the stage's folder and its Manifest. The folder holds
the data files, `_config.json` (what it was made with), `_parts/NAME.json` (written last: the part is done) and, when all is
done, `_manifest.json`.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

from pipeline import io
from pipeline.manifest import (
    CONFIG_NAME,
    MANIFEST_NAME,
    PARTS_FOLDER,
    InputReport,
    Manifest,
    PartReport,
    hash_of,
    output_config,
    part_from_json,
    peak_rss_bytes,
    to_json,
    total,
    versions,
)
from pipeline.progress import progress
from pipeline.workers import worker_processes
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


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a stage on its folder: the stage's name, the folder, the config as recorded, and when it began."""

    stage: str
    out: str
    described: dict[str, Any]
    started_at: str
    started: float  # time.monotonic(), s


def run_stage(
    stage: str, config: Any, parts: Sequence[Part], work: Work, *, out: str, upstream: Sequence[str] = (), spark: Any = None
) -> Manifest:
    """Do the parts that are not done yet, on Spark, on worker processes or here, and write the manifest.

    `work(config, part, folder)` must be a module-level function: it travels to other processes. What it raises costs its part
    only. `out` is the stage's folder; `upstream` the folders it reads: their config hashes are part of this one's. Raises
    UserError where the folder was made with another config.
    """
    run = begin(stage, config, out=out, upstream=upstream)
    done = done_parts(out, parts)
    todo = [part for part in parts if part.name not in done]
    doing = partial(_do_part, work, config, out)
    fresh = list(progress(_map(doing, todo, config.workers, spark), total=len(todo), label=stage))
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
    io.sweep(out)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Run(stage=stage, out=out, described=described, started_at=now, started=time.monotonic())


def end(run: Run, reports: Sequence[PartReport], *, resumed: int = 0) -> Manifest:
    """Write and return the manifest over all parts' reports: from now on the folder is complete."""
    manifest = Manifest(
        stage=run.stage,
        config=run.described,
        config_hash=hash_of(run.described),
        versions=versions(),
        counts=total([report.counts for report in reports]),
        inputs=tuple(i for report in reports for i in report.inputs),
        parts=tuple(report.name for report in reports if not report.failed),
        parts_resumed=resumed,
        facts={report.name: report.facts for report in reports if report.facts},
        started_at=run.started_at,
        duration_s=round(time.monotonic() - run.started, 3),
        peak_rss_bytes=max([peak_rss_bytes(), *(report.peak_rss_bytes for report in reports)]),
    )
    with io.atomic_write(io.join(run.out, MANIFEST_NAME)) as file:
        file.write(to_json(manifest))
    return manifest


def require_complete(folder: str) -> str:
    """The config hash of a folder that a stage finished; "" for a folder that no stage of ours made.

    Raises UserError where the folder is not there or its stage has not finished.
    """
    if not io.exists(folder):
        raise UserError(f"{folder}: no such folder")
    if not io.exists(io.join(folder, CONFIG_NAME)):
        return ""
    manifest = io.join(folder, MANIFEST_NAME)
    if not io.exists(manifest):
        stage = _read_json(io.join(folder, CONFIG_NAME)).get("stage", "its stage")
        raise UserError(f"{folder}: `{stage}` has not finished there; run the same command again to complete it")
    found = _read_json(manifest).get("config_hash")
    if not isinstance(found, str):
        raise UserError(f"{manifest}: not a manifest (no config_hash); remove it and run the stage that made the folder again")
    return found


@contextmanager
def part_folder(folder: str, part: Part) -> Iterator[PartFolder]:
    """A PartFolder that leaves nothing behind when the block raises."""
    with ExitStack() as stack:
        files = PartFolder(folder, part)
        stack.callback(files.discard)
        yield files
        stack.pop_all()


def write_report(folder: str, report: PartReport) -> None:
    """Mark a part as done: the last thing that is written for it."""
    with io.atomic_write(io.join(folder, PARTS_FOLDER, f"{report.name}.json")) as file:
        file.write(to_json(report))


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
        message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        failures = tuple(InputReport(path=path, status="failed", error=message) for path in part.inputs or (part.name,))
        return PartReport(name=part.name, inputs=failures, counts={"failed_parts": 1})
    write_report(out, report)
    return report


def _map(do: Callable[[Part], PartReport], parts: Sequence[Part], workers: int, spark: Any) -> Iterable[PartReport]:
    if not parts:
        return
    if spark is not None:
        yield from spark.sparkContext.parallelize(parts, len(parts)).map(do).collect()
    elif workers > 1:
        with worker_processes(min(workers, len(parts))) as pool:
            for future in as_completed([pool.submit(do, part) for part in parts]):
                yield future.result()
    else:
        yield from map(do, parts)


def done_parts(folder: str, parts: Sequence[Part]) -> dict[str, PartReport]:
    """The reports, by name, of the parts that stand whole in the folder."""
    ledger = io.join(folder, PARTS_FOLDER)
    if not io.exists(ledger):
        return {}
    recorded = {io.stem(path): path for path in io.list_files(ledger, ".json")}
    reports = {part.name: _read_report(recorded[part.name]) for part in parts if part.name in recorded}
    return {
        name: report for name, report in reports.items() if report and all(io.exists(io.join(folder, f)) for f in report.files)
    }


def _read_report(path: str) -> PartReport | None:
    """A part's report; None where it is damaged, as after a power cut: then the part is done again."""
    try:
        return part_from_json(io.read_bytes(path))
    except (ValueError, KeyError, TypeError):
        return None


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

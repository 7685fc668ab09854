"""What every stage shares: parts that are done once, written whole or not at all, and accounted for in a manifest.

In: a config, the parts to do and one function that does a part. Out: the stage's folder and its Manifest. The folder holds
the data files, `_config.json` (what it was made with), `_parts/NAME.json` (the part is done; pipeline.attempts says how it gets
there whole) and, when all is done, `_manifest.json`.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import IO, Any

from pipeline import io
from pipeline.account import account, content_hash, publish, publish_once
from pipeline.attempts import Attempt, hand_in, settle, sweep_parts, take_up, tidy, unsettled
from pipeline.folder_config import read_json, written_config
from pipeline.lease import Claim, held, require
from pipeline.ledger import read_report, recorded, report_path, reports_of
from pipeline.manifest import (
    CONFIG_NAME,
    MANIFEST_NAME,
    InputReport,
    Manifest,
    PartReport,
    Run,
    growing_fields,
    hash_of,
    output_config,
    peak_rss_bytes,
)
from pipeline.progress import progress
from pipeline.shares import Share, ShareManifest
from pipeline.workers import each_in_a_worker
from schemas.errors import LostDeviceError, UsageError, UserError


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
        """Give every file its name; the names in order of writing. Where one process alone does the part, and does it again."""
        for name, temporary in self._pending.items():
            io.move(temporary, io.join(self.folder, name))
        return tuple(self._pending)

    def hand_over(self) -> dict[str, str]:
        """The temporary name, without folder, of every file in order of writing. From now on `discard` leaves them."""
        pending, self._pending = self._pending, {}
        return {name: temporary.rsplit("/", 1)[-1] for name, temporary in pending.items()}

    def discard(self) -> None:
        """Remove what was written."""
        for temporary in self._pending.values():
            io.remove(temporary)


FILES_GONE = "its finished files were removed before they got their names; does another run write to this folder?"
Work = Callable[[Any, Part, PartFolder], PartReport]


def run_stage(
    stage: str,
    config: Any,
    parts: Sequence[Part],
    work: Work,
    *,
    out: str,
    upstream: Sequence[str] = (),
    spark: Any = None,
    share: Share | None = None,
    ready: str | None = None,
    again: Callable[[PartReport], bool] = attrgetter("damaged"),
    facts: Callable[[Sequence[PartReport]], Mapping[str, Any]] | None = None,
) -> Manifest:
    """Do the parts that are not done yet, on Spark, on worker processes or here, and write the manifest.

    `work(config, part, folder)` must be a module-level function: it travels to other processes. What it raises costs its part
    only. `out` is the stage's folder; `upstream` the folders it reads: what stands in them is part of this one's config. With
    one worker the parts are done in this process, but in another where `ready` names a module (which workers then find
    imported): for a stage whose parts may crash what decodes them, so that a crash costs its part only. `again` says which
    parts that stand are done again: those whose input was read only in part, as it may have been mended; their files and
    report stand until the new ones take their place. `facts` makes the manifest's facts of the whole run of all reports.
    With a `share` of the parts only these are done, beside processes that do the others; the answer is a ShareManifest unless
    all parts of all shares stand then. Raises UserError where the folder was made with another config or from other data, and
    where another run is at work in it.
    """
    if share is not None and spark is not None:
        raise UsageError(f"--share {share}: Spark itself hands out the parts; leave it out")
    begun = begin(stage, config, out=out, upstream=upstream) if share is None else _join(stage, config, out, upstream, share)
    with begun as run, held(stage, out, share) as claim:
        mine = parts if share is None else share.of(parts)
        halfway = unsettled(out) if share else ()
        done = {name: report for name, report in done_parts(out, mine).items() if name not in halfway and not again(report)}
        todo = [part for part in mine if part.name not in done]
        if todo:
            io.remove(io.join(out, MANIFEST_NAME))  # a share that has nothing to do leaves it
        place = io.absolute(out)  # executors have working directories of their own
        if spark is not None:
            from pipeline.spark_parts import on_spark

            fresh = on_spark(spark, partial(_hand_in_part, work, config, place), todo, run)
        else:
            fresh = _here(partial(_do_part, work, config, place, claim), todo, run, workers=config.workers, ready=ready)
        by_name = {report.name: report for report in [*done.values(), *fresh]}
        reports = [by_name[part.name] for part in mine]
        if share is not None:
            still = replace(run, described=written_config(out, run.described, growing_fields(config)))  # or another's by now?
            return _leave(still, share, parts, reports, resumed=len(done), again=again, facts=facts)
        return end(run, reports, resumed=len(done), facts=facts(reports) if facts else None)


@contextmanager
def begin(stage: str, config: Any, *, out: str, upstream: Sequence[str] = ()) -> Iterator[Run]:
    """Make the stage's folder or take up the one that stands; for the block, no other run may (pipeline.lease).

    For a stage whose parts do not fit `run_stage` (a shuffle, a training run): `with begin`, its own work with `part_folder` and
    `write_report`, `end`. Raises UserError where the folder was made with another config, or another run is at work in it.
    """
    wanted = _described(stage, config, out, upstream)
    with held(stage, out):
        described = written_config(out, wanted, growing_fields(config))
        io.remove(io.join(out, MANIFEST_NAME))
        tidy(out)
        yield Run.begun(stage, out, described)


def _described(stage: str, config: Any, out: str, upstream: Sequence[str]) -> dict[str, Any]:
    """What the folder is made with. Raises UsageError for one that is to be read and written."""
    described = {"stage": stage, **output_config(config)}
    described.pop("out", None)
    for folder in upstream:
        if io.is_same(folder, out):
            raise UsageError(f"{out}: --out is the folder that {stage} reads; give another, so that nothing is overwritten")
        described[f"upstream {folder}"] = require_complete(folder)
    return described


@contextmanager
def _join(stage: str, config: Any, out: str, upstream: Sequence[str], share: Share) -> Iterator[Run]:
    """`begin` beside processes at work in the folder: nothing is removed, and nothing of theirs settled or swept."""
    described, growing = _described(stage, config, out, upstream), growing_fields(config)
    with held(stage, out, share):
        for _ in range(2):  # a process that begins just now may have put its own in the place of this one's
            described = written_config(out, described, growing)
        yield Run.begun(stage, out, described)


def end(run: Run, reports: Sequence[PartReport], *, resumed: int = 0, facts: Mapping[str, Any] | None = None) -> Manifest:
    """Write and return the manifest over all parts' reports, and `facts` beside theirs: from now on the folder is complete."""
    require(run.out)
    tidy(run.out)  # of attempts that were killed, or come to nothing
    return publish(run.out, account(run, reports, resumed=resumed, facts=facts))


def _leave(
    run: Run,
    share: Share,
    parts: Sequence[Part],
    reports: Sequence[PartReport],
    *,
    resumed: int,
    again: Callable[[PartReport], bool],
    facts: Callable[[Sequence[PartReport]], Mapping[str, Any]] | None,
) -> Manifest:
    """`end` of a share with its reports: whoever finds that all `parts` stand writes the manifest, and may find one there.

    Parts of other shares that are to be done again do not stand yet, but for those of damaged inputs: nobody knows whether an
    input that is damaged for good was tried again. The share that finds one mended writes the manifest once more.
    """
    require(run.out)
    sweep_parts(run.out, {report.name for report in reports}, of={part.name for part in parts})
    failures = {report.name for report in reports if report.failed}
    missing = ({part.name for part in parts} - recorded(run.out)) | failures
    found = {} if missing else done_parts(run.out, parts)
    standing = {name: report for name, report in found.items() if not again(report.mended())}
    if len(standing) < len(parts):
        own = account(run, reports, resumed=resumed)
        return ShareManifest(**vars(own), share=share, parts_missing=len(missing) or len(parts) - len(standing))
    every = [standing[part.name] for part in parts]
    return publish_once(run.out, account(run, every, resumed=resumed, facts=facts(every) if facts else None))


def require_complete(folder: str) -> str:
    """A hash of what stands in a folder that is to be read: it changes when a file is added, removed or made anew.

    Raises UserError where the folder is not there or its stage has not finished.
    """
    if not io.exists(folder):
        raise UserError(f"{folder}: no such folder")
    if not io.exists(io.join(folder, CONFIG_NAME)):
        return content_hash(folder, io.sizes(folder))  # no stage of ours made it
    manifest = io.join(folder, MANIFEST_NAME)
    if not io.exists(manifest):
        stage = read_json(io.join(folder, CONFIG_NAME)).get("stage", "its stage")
        raise UserError(f"{folder}: `{stage}` has not finished there; run the same command again to complete it")
    found = read_json(manifest)
    if not isinstance(found.get("config_hash"), str):
        raise UserError(f"{manifest}: not a manifest (no config_hash); remove it and run the stage that made the folder again")
    return hash_of({"config": found["config_hash"], "content": found.get("content_hash")})


@contextmanager
def part_folder(folder: str, part: Part) -> Iterator[PartFolder]:
    """A PartFolder that leaves nothing behind when the block raises."""
    with ExitStack() as stack:
        files = PartFolder(folder, part)
        stack.callback(files.discard)
        yield files
        stack.pop_all()


def _do_part(work: Work, config: Any, out: str, claim: Claim, part: Part) -> PartReport:
    """Do a part and make it stand. No other process should be at it, but one may have died while it made it stand."""
    standing = take_up(out, part.name)
    if standing is not None:
        return standing
    made = _attempt(work, config, out, part)
    if isinstance(made, PartReport):
        return made
    claim.require()
    if made.is_whole(out):
        return settle(out, made)
    # Another process did the same part, by mistake, and swept as it ended; or a run of all parts began meanwhile.
    return read_report(report_path(out, part.name)) or failed(part, FILES_GONE)


def _hand_in_part(work: Work, config: Any, out: str, inbox: str, part: Part) -> str | PartReport:
    """Do a part that other processes may be doing at the same time; the record that was handed in, or the report of a failure."""
    made = _attempt(work, config, out, part)
    return hand_in(inbox, made) if isinstance(made, Attempt) else made


def _attempt(work: Work, config: Any, out: str, part: Part) -> Attempt | PartReport:
    """The part's complete files under temporary names, or the report of a failure, which leaves none."""
    started = time.monotonic()
    try:
        with part_folder(out, part) as folder:
            report = work(config, part, folder)
            temporaries = folder.hand_over()
    except LostDeviceError:
        raise
    except Exception as error:  # noqa: BLE001 - one bad input costs its part, never the job; the manifest names it
        io.require_room(out, error)
        return failed(part, str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}")
    took = round(time.monotonic() - started, 3)
    report = replace(report, files=tuple(temporaries), duration_s=took, peak_rss_bytes=peak_rss_bytes())
    return Attempt(report=report, temporaries=temporaries)


def _here(
    do: Callable[[Part], PartReport], parts: Sequence[Part], run: Run, *, workers: int, ready: str | None
) -> list[PartReport]:
    in_this_process = workers == 1 and ready is None
    lost = partial(_lost, run.out)
    reports = map(do, parts) if in_this_process else each_in_a_worker(do, parts, workers, lost=lost, ready=ready)
    return list(progress(reports, total=len(parts), label=run.stage))


def _lost(out: str, part: Part) -> PartReport:
    # It may have died after all was done but the last renames.
    return take_up(out, part.name) or failed(part, "the worker process died on it (killed, or out of memory)")


def failed(part: Part, message: str) -> PartReport:
    """The report of a part of which nothing came."""
    failures = tuple(InputReport(path=path, status="failed", error=message) for path in part.inputs or (part.name,))
    return PartReport(name=part.name, inputs=failures, counts={"failed_parts": 1})


def done_parts(folder: str, parts: Sequence[Part]) -> dict[str, PartReport]:
    """The reports, by name, of the parts that stand whole in the folder."""
    return reports_of(folder, [part.name for part in parts])

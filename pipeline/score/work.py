"""One shard: tar → {shard}.parquet and {shard}.npz, row i of one belonging to row i of the other, in the tar's order."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipeline import io
from pipeline.ledger import read_report, report_path
from pipeline.manifest import InputReport, PartReport
from pipeline.samples import TarReader, read_sidecar
from pipeline.score import ScoreConfig
from pipeline.score.decoding.reading import Batch, batches
from pipeline.score.engine import Engine, device_errors, the_engine
from pipeline.score.plan import Plan
from pipeline.score.rows import SEEN, SIDECAR_COLUMNS
from pipeline.score.standing import Scores, from_rows, read_scores
from pipeline.score.towers import cosines, stored
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError
from schemas.scores import SCORES, clip_column

COLUMNS_FACT = "_columns"  # of a part's report: the names of the plan that its files hold
_NAMED_DROPS = 20  # keys told per reason; all are counted


@dataclass
class Shard:
    """What came of a shard's samples."""

    rows: list[pa.RecordBatch] = field(default_factory=list)
    images: list[list[torch.Tensor]] = field(default_factory=list)  # of each batch, of each model: (n, d) float32 on its device
    tokens: list[tuple[np.ndarray, ...]] = field(default_factory=list)  # of each batch, of each tokenizer: (n, L) int32
    dropped: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # reason → keys
    peak_decoder_rss_bytes: int = 0

    def add(self, batch: Batch, engine: Engine) -> None:
        """Compute a batch's images and append it."""
        seen = batch.seen
        self.peak_decoder_rss_bytes = max(self.peak_decoder_rss_bytes, seen.peak_rss_bytes)
        for each in seen.dropped:
            self.dropped[each.reason].append(each.key)
        if len(seen.rows):
            self.rows.append(seen.rows)
            self.images.append(engine.images(batch.buffer, seen.slots))
            self.tokens.append(seen.tokens)


def has_all(report: PartReport, plan: Plan) -> bool:
    """Whether a part's files hold all that the plan asks for."""
    return set(report.facts.get(COLUMNS_FACT, ())).issuperset(plan.names)


def told(reports: Sequence[PartReport]) -> dict[str, Any]:
    """The facts of the whole folder: seconds of the models, their share of the shards' time, the most of a GPU's memory."""
    took_s = sum(report.facts.get("_took_s", 0.0) for report in reports)
    model_s = sum(report.facts.get("model_s", 0.0) for report in reports)
    peaks = {
        name.removeprefix("_"): max((report.facts.get(name, 0) for report in reports), default=0)
        for name in ("_peak_gpu_bytes", "_peak_decoder_rss_bytes")
    }
    holds = [set(report.facts.get(COLUMNS_FACT, ())) for report in reports if not report.failed]
    without = {name: sum(name not in each for each in holds) for name in sorted(set[str]().union(*holds))}
    missing = {"parts_without": found} if (found := {name: n for name, n in without.items() if n}) else {}
    return {"model_s": round(model_s, 3), "model_share": round(model_s / took_s, 3) if took_s else 0.0, **peaks, **missing}


def score_shard(config: ScoreConfig, part: Part, folder: PartFolder) -> PartReport:
    """Score one tar. Raises UserError where it cannot be read at all; one that is cut short gives what it holds.

    Where a part stands, what it holds is kept, and only what the plan has besides is computed.
    """
    before = _standing(folder.folder, part.name)
    there = tuple(before.facts.get(COLUMNS_FACT, ())) if before else ()
    whole = before is not None and not before.damaged  # else its tar may have been mended since, and all is asked for anew
    plan = config.plan.only([name for name in config.plan.names if not (whole and name in there)])
    kept = read_scores(folder.folder, part.name) if set(there).difference(plan.names) else None
    if before is not None and kept is not None and whole and not plan.models:
        scores, account = kept, before
    else:
        scores, account = _seen(config, plan, part, kept)
    if whole:
        _require_free(plan, scores)
    _with_rest(plan, scores).write(folder, part.name)
    return replace(account, facts={**account.facts, COLUMNS_FACT: sorted({*there, *plan.names})})


def _standing(folder: str, name: str) -> PartReport | None:
    """The report of a part all of whose files are there."""
    report = read_report(report_path(folder, name))
    return report if report and all(io.exists(io.join(folder, file)) for file in report.files) else None


def _seen(config: ScoreConfig, plan: Plan, part: Part, kept: Scores | None) -> tuple[Scores, PartReport]:
    """What the plan's models make of a tar, beside what is kept, and the account of it."""
    (path,) = part.inputs
    with device_errors(config.device):
        engine, began = the_engine(config, plan.models), perf_counter()
    engine.read_model_s()
    with device_errors(engine.device):
        reader, shard = _read(path, engine)
        found = _of_models(plan, shard, engine)
    rows = from_rows(shard.rows, SEEN, part.name)
    if kept is not None:
        _require_same_rows(kept, rows, path)
    scores = (kept or rows).with_columns(*found)
    times = {"model_s": round(engine.read_model_s(), 3), "_took_s": round(perf_counter() - began, 3)}
    peaks = {"_peak_gpu_bytes": engine.peak_gpu_bytes(), "_peak_decoder_rss_bytes": shard.peak_decoder_rss_bytes}
    return scores, _report(part, reader, shard, {**times, **peaks})


def _read(path: str, engine: Engine) -> tuple[TarReader, Shard]:
    """What came of a tar's samples, and the reader that tells how it ended. Raises UserError where it is none."""
    told, shard = read_sidecar(path, SIDECAR_COLUMNS), Shard()
    with io.open_read(path) as file:
        reader = TarReader(file)
        place = io.url_to_fs(path)[1] if io.is_local(path) else None
        with closing(batches(reader, told, engine.decoders, path=place)) as found:
            for batch in found:
                shard.add(batch, engine)
    if reader.damage and not shard.rows and not shard.dropped:
        raise UserError(f"{path}: not a readable tar ({reader.damage})")
    return reader, shard


def _of_models(plan: Plan, shard: Shard, engine: Engine) -> tuple[dict[pa.Field, pa.Array], dict[str, np.ndarray]]:
    """The columns and arrays of each model."""
    if not shard.rows:
        nothing = [np.empty((0, width), np.float16) for width in engine.widths()]
        found = [(np.empty(0, np.float32), array, array) for array in nothing]
    else:
        texts = engine.texts([np.concatenate(each) for each in zip(*shard.tokens, strict=True)])
        images = [torch.cat(each) for each in zip(*shard.images, strict=True)]
        found = [(cosines(image, text), stored(image), stored(text)) for image, text in zip(images, texts, strict=True)]
    columns: dict[pa.Field, pa.Array] = {}
    arrays: dict[str, np.ndarray] = {}
    for spec, (scores, image, text) in zip(plan.models, found, strict=True):
        columns[clip_column(spec.column)] = pa.array(scores)
        arrays |= {f"{spec.column}_img": image, f"{spec.column}_txt": text}
    return columns, arrays


def _with_rest(plan: Plan, scores: Scores) -> Scores:
    """The scores with the columns of the plan's heads and text scorers."""
    columns: dict[pa.Field, pa.Array] = {}
    for head in plan.heads:
        if head.on not in scores.arrays:
            raise UserError(f"head {head.name}: there is no array {head.on}, but {', '.join(sorted(scores.arrays)) or 'none'}")
        columns[head.field] = pa.array(head.load().score(scores.arrays[head.on]))
    for scorer in plan.texts:
        columns |= scorer.load().columns_of(scores.table["text"].to_pylist())
    return scores.with_columns(columns, {})


def _require_free(plan: Plan, scores: Scores) -> None:
    """Raises UserError where a head or scorer that is to be added has a column that another one made."""
    taken = set(scores.table.schema.names) - set(SCORES.names)
    for scorer in plan.texts:
        if standing := sorted(taken.intersection(scorer.load().columns.names)):
            raise UserError(f"text scorer {scorer.name}: {', '.join(standing)} stands there, made by another; give another --out")
    for head in plan.heads:
        if head.column_name in taken:
            raise UserError(f"head {head.name}: {head.column_name} stands there, made by another; give it another name")


def _require_same_rows(kept: Scores, rows: Scores, path: str) -> None:
    if not kept.table["key"].equals(rows.table["key"]):
        raise UserError(
            f"{path}: has other pairs now ({len(rows.table)}) than when it was scored ({len(kept.table)}); score into another "
            f"--out, or remove the shard's .parquet and .npz and ask for all that they held"
        )


def _report(part: Part, reader: TarReader, shard: Shard, facts: Mapping[str, Any]) -> PartReport:
    dropped = {f"dropped_{reason}": len(keys) for reason, keys in sorted(shard.dropped.items())}
    rows_out = sum(map(len, shard.rows))
    rows_in = rows_out + sum(dropped.values())
    status = InputReport(
        path=part.inputs[0],
        status="partial" if reader.damage else "ok",
        error=reader.damage,
        rows=rows_in,
        bytes_read=reader.bytes_read,
    )
    named = {f"dropped_{reason}": keys[:_NAMED_DROPS] for reason, keys in sorted(shard.dropped.items())}
    counts = {"rows_in": rows_in, "rows_out": rows_out, **dropped}
    return PartReport(name=part.name, counts=counts, inputs=(status,), facts={**named, **facts})

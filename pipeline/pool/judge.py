"""Before the shuffle: what one record alone decides. In: candidate files. Out: batches of JUDGED rows, and one tally per file.

A tally is a row that carries no pair: the file's counts and its InputReport, on their way to one bucket's report.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.manifest import InputReport
from pipeline.optout import refusals
from pipeline.pool.addresses import host_of
from pipeline.pool.removal import Removal
from pipeline.pool.survive import EARLIEST, combine
from schemas.candidates import CANDIDATES
from schemas.errors import UserError

HASH_BITS = 63  # so that a rank fits Spark's signed 64-bit integer
BATCH_ROWS = 1 << 17  # bounds memory; within it duplicates are combined before they travel
_VISIBLE = r"[^\pC\pZ\s]"

# What travels through the shuffle: everything nullable, because a tally has nothing but bucket and tally.
JUDGED = pa.schema(
    [
        *(field.with_nullable(True) for field in CANDIDATES),
        pa.field("opted_out", pa.bool_()),
        pa.field("n_records", pa.int32()),
        pa.field("sample_rank", pa.int64()),
        pa.field("bucket", pa.int32()),
        pa.field("tally", pa.string()),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is asked of a row and where it goes: everything that the workers must know."""

    out: str
    bound: int  # ranks below it are in the sample
    seed: int
    partitions: int
    drops_opted_out: bool
    max_text_chars: int
    max_url_chars: int
    removal: Removal

    @classmethod
    def of(cls, config: Any, removal: Removal) -> "Rules":
        """The rules that a PoolConfig and its removal lists make."""
        return cls(
            out=io.absolute(config.out),  # executors have working directories of their own
            bound=max(1, int(config.sample * 2**HASH_BITS)),
            seed=config.seed,
            partitions=config.partitions,
            drops_opted_out=config.opt_out == "honour",
            max_text_chars=config.max_text_chars,
            max_url_chars=config.max_url_chars,
            removal=removal,
        )

    @property
    def buckets(self) -> int:
        """How many buckets, from the first, the sample reaches into."""
        return self.bucket_of(self.bound - 1) + 1

    def rank_of(self, uid: str) -> int:
        """Place of a uid in the order of this seed, 0 ≤ rank < 2^63: uniform, and no other uid or machine matters."""
        digest = hashlib.md5(f"{self.seed}:{uid}".encode(), usedforsecurity=False).digest()
        return int.from_bytes(digest[:8], "big") >> (64 - HASH_BITS)

    def bucket_of(self, rank: int) -> int:
        """The bucket of a rank: buckets cut the ranks' range into equal pieces: their files in order are in order of rank."""
        return (rank * self.partitions) >> HASH_BITS

    def part_name(self, bucket: int) -> str:
        """The name of a bucket's part."""
        return f"part-{bucket:05d}"


def judge_file(path: str, rules: Rules) -> Iterator[pa.RecordBatch]:
    """JUDGED batches of one candidate file, ending with its tally. A file that cannot be read (on) costs itself only."""
    counts: Counter[str] = Counter()
    report = InputReport(path=path, status="failed")
    try:
        for batch in _read(path):
            report = replace(report, status="ok", rows=report.rows + batch.num_rows)
            counts["rows_in"] += batch.num_rows
            yield judge(batch, rules, counts)
        report = replace(report, status="ok")
    except (OSError, pa.ArrowException, UserError) as error:
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        report = replace(report, status="partial" if report.rows else "failed", error=message)
    yield _tally(report, counts, rules)


def judge(batch: pa.RecordBatch, rules: Rules, counts: Counter[str]) -> pa.RecordBatch:
    """The rows of a CANDIDATES batch that may stay, as JUDGED; those that may not are counted in `counts` by reason."""
    batch = _keep(batch, pc.match_substring_regex(batch["uid"], r"^[0-9a-f]{32}$"), "dropped_invalid_uid", counts)
    ranks = pa.array([rules.rank_of(uid) for uid in batch["uid"].to_pylist()], pa.int64())
    batch = batch.append_column("sample_rank", ranks)
    if rules.bound < 2**HASH_BITS:
        batch = _keep(batch, pc.less(ranks, rules.bound), "dropped_not_in_sample", counts)
    text = batch["text"]
    blank = pc.equal(pc.utf8_trim_whitespace(text), "")
    batch = _keep(batch, pc.invert(pc.fill_null(blank, True)), "dropped_text_blank", counts)
    batch = _keep(batch, pc.match_substring_regex(batch["text"], _VISIBLE), "dropped_text_unprintable", counts)
    short = pc.less_equal(pc.utf8_length(batch["text"]), rules.max_text_chars)
    batch = _keep(batch, short, "dropped_text_too_long", counts)
    batch = _keep(batch, _valid_urls(batch["url"], rules.max_url_chars), "dropped_invalid_url", counts)
    if not rules.removal.empty:
        pairs = zip(batch["uid"].to_pylist(), batch["url"].to_pylist(), strict=True)
        staying = pa.array([not rules.removal.covers(uid, url) for uid, url in pairs], pa.bool_())
        batch = _keep(batch, staying, "dropped_removed_by_list", counts)
    return _with_bucket(combine(_with_opt_out(batch).sort_by(EARLIEST)), rules)


def _read(path: str) -> Iterator[pa.RecordBatch]:
    with io.open_read(path) as file:
        parquet = pq.ParquetFile(file)
        names = parquet.schema_arrow.names
        missing = [field.name for field in CANDIDATES if not field.nullable and field.name not in names]
        if missing:
            raise UserError(f"{path}: not candidates: column {', '.join(missing)} is missing")
        columns = [name for name in CANDIDATES.names if name in names]
        for batch in parquet.iter_batches(BATCH_ROWS, columns=columns):
            yield _conform(batch)


def _conform(batch: pa.RecordBatch) -> pa.RecordBatch:
    """All CANDIDATES columns in order; an optional one that is absent is null."""
    names = set(batch.schema.names)
    columns = [
        batch[field.name].cast(field.type) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in CANDIDATES
    ]
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([field.with_nullable(True) for field in CANDIDATES]))


def _keep(batch: pa.RecordBatch, mask: pa.BooleanArray, reason: str, counts: Counter[str]) -> pa.RecordBatch:
    kept = batch.filter(mask, null_selection_behavior="drop")
    if kept.num_rows < batch.num_rows:
        counts[reason] += batch.num_rows - kept.num_rows
    return kept


def _valid_urls(urls: pa.StringArray, max_chars: int) -> pa.BooleanArray:
    valid = [url is not None and len(url) <= max_chars and host_of(url) is not None for url in urls.to_pylist()]
    return pa.array(valid, pa.bool_())


def _with_opt_out(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Adds opted_out: one of the page's directives, or its TDM reservation, says no; and n_records, 1 each."""
    robots = batch["robots"]
    refuses = pc.is_in(pc.list_flatten(robots), value_set=pa.array(sorted(refusals())))
    refusing = pc.filter(pc.list_parent_indices(robots), refuses)
    rows = pa.array(range(batch.num_rows), pa.int64())
    opted_out = pc.or_(pc.is_in(rows, value_set=refusing.cast(pa.int64())), pc.fill_null(batch["tdm_reserved"], False))
    batch = batch.append_column("opted_out", opted_out)
    return batch.append_column("n_records", pa.array([1] * batch.num_rows, pa.int32()))


def _with_bucket(batch: pa.RecordBatch, rules: Rules) -> pa.RecordBatch:
    buckets = pa.array([rules.bucket_of(rank) for rank in batch["sample_rank"].to_pylist()], pa.int32())
    batch = batch.append_column("bucket", buckets).append_column("tally", pa.nulls(batch.num_rows, pa.string()))
    return batch.select(JUDGED.names).cast(JUDGED)


def _tally(report: InputReport, counts: Counter[str], rules: Rules) -> pa.RecordBatch:
    """To a bucket that depends on the file's name alone: a run that is taken up again counts no file twice."""
    name = report.path.rsplit("/", 1)[-1]
    bucket = int(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest(), 16) % rules.buckets
    return pa.RecordBatch.from_pylist(
        [{"bucket": bucket, "tally": json.dumps({"input": asdict(report), "counts": dict(counts)})}], schema=JUDGED
    )


def read_tallies(tallies: Iterable[str]) -> Iterator[tuple[InputReport, dict[str, int]]]:
    """The inverse, one pair per file."""
    for tally in tallies:
        value = json.loads(tally)
        yield InputReport(**value["input"]), value["counts"]

"""Before the shuffle: what one record alone decides. In: candidate files. Out: batches of JUDGED rows, and one tally per file.

A tally is a row that carries no pair: the file's counts and its InputReport, on their way to one bucket's report.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.addresses import host_of
from pipeline.manifest import InputReport
from pipeline.pool.refuse import opt_outs
from pipeline.pool.sameness import HASH_BITS, KEY, Dedup, hashes_of, keys_of, rank_of
from pipeline.pool.survive import EARLIEST, combine
from pipeline.removal import REASONS as REMOVED_BY
from pipeline.removal import Removal
from schemas.candidates import CANDIDATES
from schemas.errors import UserError

BATCH_ROWS = 1 << 17  # bounds memory; within it duplicates are combined before they travel
_VISIBLE = r"[^\pC\pZ\s]"

# What travels through the shuffle: everything nullable, because a tally has nothing but bucket and tally.
JUDGED = pa.schema(
    [
        *(field.with_nullable(True) for field in CANDIDATES),
        pa.field("opt_outs", pa.int32()),  # bits, see refuse.py
        pa.field("n_records", pa.int32()),
        pa.field("key", KEY),  # what copies share; null where that is the uid
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
    dedup: Dedup
    drops_opted_out: bool
    max_text_chars: int
    max_url_chars: int
    removal: Removal = field(default_factory=Removal)
    language_model: str = ""  # as `nearby.published` put it; "" for the one that is built in

    @classmethod
    def of(cls, config: Any) -> "Rules":
        """The rules that a PoolConfig makes, but for the files that it names."""
        return cls(
            out=io.absolute(config.out),  # executors have working directories of their own
            bound=max(1, int(config.sample * 2**HASH_BITS)),
            seed=config.seed,
            partitions=config.partitions,
            dedup=config.dedup,
            drops_opted_out=config.opt_out == "honour",
            max_text_chars=config.max_text_chars,
            max_url_chars=config.max_url_chars,
        )

    @property
    def buckets(self) -> int:
        """How many buckets, from the first, the sample reaches into."""
        return self.bucket_of(self.bound - 1) + 1

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
    batch = _with_rank(batch, rules)
    if rules.bound < 2**HASH_BITS:
        batch = _keep(batch, pc.less(batch["sample_rank"], rules.bound), "dropped_not_in_sample", counts)
    text = batch["text"]
    blank = pc.equal(pc.utf8_trim_whitespace(text), "")
    batch = _keep(batch, pc.invert(pc.fill_null(blank, True)), "dropped_text_blank", counts)
    batch = _keep(batch, pc.match_substring_regex(batch["text"], _VISIBLE), "dropped_text_unprintable", counts)
    short = pc.less_equal(pc.utf8_length(batch["text"]), rules.max_text_chars)
    batch = _keep(batch, short, "dropped_text_too_long", counts)
    batch = _keep(batch, _valid_urls(batch["url"], rules.max_url_chars), "dropped_invalid_url", counts)
    batch = _without_removed(batch, rules, counts)
    batch = batch.append_column("opt_outs", opt_outs(batch))
    batch = batch.append_column("n_records", pa.array(np.ones(batch.num_rows, np.int32)))
    return _with_bucket(combine(batch.sort_by(EARLIEST)), rules)


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


def _with_rank(batch: pa.RecordBatch, rules: Rules) -> pa.RecordBatch:
    """Adds sample_rank, and the key where it is not the uid."""
    hashes = hashes_of(keys_of(rules.dedup, batch), rules.seed)
    keys = pa.nulls(len(hashes), KEY) if rules.dedup == "uid" else pa.array(hashes, KEY)
    ranks = pa.array([rank_of(hashed) for hashed in hashes], pa.int64())
    return batch.append_column("sample_rank", ranks).append_column("key", keys)


def _without_removed(batch: pa.RecordBatch, rules: Rules, counts: Counter[str]) -> pa.RecordBatch:
    if not rules.removal.path:
        return batch
    codes = rules.removal.reasons(batch["uid"].to_pylist(), batch["url"].to_pylist())
    for code, reason in enumerate(REMOVED_BY, 1):
        if count := int((codes == code).sum()):
            counts[f"dropped_removed_by_{reason}"] += count
    return batch.filter(pa.array(codes == 0))


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

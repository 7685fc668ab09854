"""Shards of one revision → of the next, in img2dataset's layout: tar, sidecar, stats without what went; the others as they are.

A row goes where a list has it, or where its pair went; a row of a failed download, too, since its URL is as much on the list.
What the sidecar tells of a sample and what the json in the tar tells both count.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.download.layout import successes_and_failures
from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE, SUCCESS
from pipeline.manifest import InputReport, PartReport
from pipeline.revise.carry import carry
from pipeline.revise.gone import Gone
from pipeline.revise.listed import CONTENT_COLUMNS, REASONS, Listed
from pipeline.revise.scan import batches_of, columns_of, schema_of
from pipeline.revise.tars import open_local, told_in, write_without
from pipeline.samples import clean, made_uid, uid_of
from pipeline.stage import Part, PartFolder
from schemas.errors import UserError

_TOLD = ("uid", "url", "caption", "page_url", "phash", *(name for names in CONTENT_COLUMNS.values() for name in names))
_ROWS = pa.schema([("key", pa.string()), *((name, pa.string()) for name in _TOLD)])
BY_PAIR = "pair"  # counted so: its pair went from the release


@dataclass(frozen=True, kw_only=True)
class ShardPart(Part):
    """A shard: the paths of those of its files that are there, "" for the others."""

    tar: str = ""
    sidecar: str = ""
    stats: str = ""


@dataclass
class Judged:
    """The keys that a shard's sidecar and its tar have, and those that are to go, each with by what."""

    rows: set[str] = field(default_factory=set)
    samples: set[str] = field(default_factory=set)
    gone: dict[str, str] = field(default_factory=dict)

    @property
    def looked_at(self) -> int:
        """How many pairs, tried or stored."""
        return len(self.rows | self.samples)

    def take(self, rows: pa.RecordBatch, listed: Listed, gone: Gone, into: set[str]) -> None:
        """Judge what is told of some pairs."""
        codes, _ = listed.judge(rows)
        keys = rows["key"].to_pylist()
        into.update(keys)
        for row in np.flatnonzero((codes > 0) | gone.rows(rows["uid"])).tolist():
            self.gone.setdefault(keys[row], REASONS[codes[row] - 1] if codes[row] else BY_PAIR)


def shard_parts(folder: str) -> list[ShardPart]:
    """The shards of a folder, by name. Raises UserError where there are none."""
    tars = {io.stem(path): path for path in io.list_files(folder, ".tar")}
    sidecars = {io.stem(path): path for path in io.list_files(folder, ".parquet")}
    stats = {io.stem(path).removesuffix("_stats"): path for path in io.list_files(folder, "_stats.json")}
    names = sorted({*tars, *sidecars})
    if not names:
        raise UserError(f"{folder}: no .tar and no .parquet in it; give the folder that `download` wrote")
    found = []
    for name in names:
        tar, sidecar, told = (io.absolute(files[name]) if name in files else "" for files in (tars, sidecars, stats))
        there = tuple(path for path in (tar, sidecar, told) if path)
        found.append(ShardPart(name=name, inputs=there, tar=tar, sidecar=sidecar, stats=told))
    return found


def hit_uids(listed: Listed, path: str) -> Iterator[tuple[str, int, int]]:
    """(uid, code, list) of the rows of a sidecar that a list has."""
    for rows in _sidecar_rows(path):
        codes, lists = listed.judge(rows)
        for row in np.flatnonzero(codes).tolist():
            uid = rows["uid"][row].as_py()
            if uid is not None:
                yield uid, int(codes[row]), int(lists[row])


def judged(listed: Listed, gone: Gone, part: ShardPart) -> Judged:
    """What is to go of a shard. Raises UserError for a damaged one."""
    found = Judged()
    for rows in _sidecar_rows(part.sidecar) if part.sidecar else ():
        found.take(rows, listed, gone, found.rows)
    for rows in _tar_rows(part.tar) if part.tar else ():
        found.take(rows, listed, gone, found.samples)
    return found


def translate_shard(listed: Listed, gone: Gone, _config: Any, part: Part, folder: PartFolder) -> PartReport:
    """Write a shard's files without what is to go: those that stand, where nothing is."""
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    found = judged(listed, gone, part)
    keys = found.gone
    if not keys:
        for path in part.inputs:
            carry(path, folder.path(path.rsplit("/", 1)[-1]))
    else:
        _write(part, keys, folder)
    return PartReport(
        name=part.name,
        counts={
            "shard_rows_in": found.looked_at,
            "shard_rows_removed": len(keys),
            "shards_rewritten" if keys else "shards_kept": 1,
            **{f"shard_rows_removed_by_{reason}": count for reason, count in Counter(keys.values()).items()},
        },
        inputs=tuple(InputReport(path=path) for path in part.inputs),
        facts={"_successes": len(found.samples - keys.keys())},
    )


def write_sizes(out: str, successes: dict[str, int]) -> None:
    """sizes.json, from which open_clip takes the number of samples."""
    with io.atomic_write(io.join(out, "sizes.json")) as file:
        file.write(json.dumps({f"{name}.tar": count for name, count in sorted(successes.items())}, indent=1).encode())


def _write(part: ShardPart, keys: Mapping[str, str], folder: PartFolder) -> None:
    if part.tar:
        with open_local(part.tar) as tar, folder.open(f"{part.name}.tar") as file:
            write_without(tar, part.tar, keys, file)
    if not part.sidecar:
        return
    kept = _kept_rows(part.sidecar, keys)
    with folder.open(f"{part.name}.parquet") as file:
        pq.write_table(kept, file)
    if part.stats and {"status", "error_message"} <= set(kept.column_names):
        with folder.open(f"{part.name}_stats.json") as file:
            file.write(_stats_of(part.stats, kept))


def _kept_rows(path: str, keys: Mapping[str, str]) -> pa.Table:
    there = []
    for batch in batches_of(path):
        kept = [(key or "") not in keys for key in batch["key"].to_pylist()]
        there.append(batch.filter(pa.array(kept, pa.bool_())))
    return pa.Table.from_batches(there, schema=schema_of(path))


def _stats_of(path: str, rows: pa.Table) -> bytes:
    """What was told of the run, with the counts of the rows that are left."""
    try:
        told = json.loads(io.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); remove it, or download the shard again") from error
    outcomes = Counter(zip(rows["status"].to_pylist(), rows["error_message"].to_pylist(), strict=True))
    by_status = successes_and_failures(outcomes)
    counts = {
        "count": by_status.total(),
        "successes": by_status[SUCCESS],
        "failed_to_download": by_status[FAILED_TO_DOWNLOAD],
        "failed_to_resize": by_status[FAILED_TO_RESIZE],
        "status_dict": {reason or status: count for (status, reason), count in sorted(outcomes.items(), key=str)},
    }
    return json.dumps({**(told if isinstance(told, dict) else {}), **counts}, indent=4).encode()


def _tar_rows(path: str) -> Iterator[pa.RecordBatch]:
    with open_local(path) as file:
        told = [_row(key, found) for key, found in told_in(file, path)]
    yield pa.RecordBatch.from_pylist(told, schema=_ROWS)


def _sidecar_rows(path: str) -> Iterator[pa.RecordBatch]:
    columns = columns_of(path)
    if "key" not in columns:
        raise UserError(f"{path}: no column key; give shards in img2dataset's layout")
    for batch in batches_of(path, ["key", *(name for name in _TOLD if name in columns)]):
        yield pa.RecordBatch.from_pylist([_row(row["key"] or "", row) for row in batch.to_pylist()], schema=_ROWS)


def _row(key: str, told: dict[str, Any]) -> dict[str, str | None]:
    """What is told of a pair, as text; where no uid is told, the one that its caption and URL make."""
    row = {name: clean(told.get(name)) for name in _TOLD}
    if told.get("uid") is not None:
        uid = uid_of(told)
    else:
        uid = made_uid(row["caption"], row["url"]) if row["caption"] is not None and row["url"] else None
    return {**row, "key": key, "uid": uid}

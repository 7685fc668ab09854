"""One shard: its rows downloaded and written as tar, sidecar parquet and stats, byte for byte in img2dataset's layout."""

import io
import json
import math
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.download import address
from pipeline.download.config import DownloadConfig
from pipeline.download.engine import EngineSettings, Result, Spill, download_urls
from pipeline.download.image import ImageSettings
from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE, SUCCESS, count_name, removed_by
from pipeline.download.plan import ShardPart, read_rows
from pipeline.download.transfer import FetchLimits
from pipeline.manifest import InputReport, PartReport
from pipeline.removal import REASONS, Removal
from pipeline.stage import Part, PartFolder
from schemas.shards import SHARDS

_SHARD_DIGITS = 5  # img2dataset's oom_shard_count


def download_shard(config: DownloadConfig, part: Part, folder: PartFolder, removal: Removal) -> PartReport:
    """Download a shard, but for what is to go, and write its three files."""
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    started = time.time()
    rows = read_rows(part)
    removed = _removed(rows, removal)
    numbers: dict[str, int] = {}
    for url, gone in zip(rows["url"].to_pylist(), removed, strict=True):
        if gone is None:
            numbers.setdefault(url, len(numbers))
    with Spill() as spill:
        fetched = download_urls(list(numbers), _settings(config, removal), spill)
        results = [gone or fetched[numbers[url]] for url, gone in zip(rows["url"].to_pylist(), removed, strict=True)]
        samples = list(_samples(rows, part, config.samples_per_shard, results))
        with folder.open(f"{part.name}.tar") as file:
            write_tar(file, samples, spill)
    with folder.open(f"{part.name}.parquet") as file:
        pq.write_table(sidecar([sample for sample, _ in samples], part.carried), file)
    outcomes = Counter((sample["status"], sample["error_message"]) for sample, _ in samples)
    with folder.open(f"{part.name}_stats.json") as file:
        file.write(json.dumps(stats(outcomes, started), indent=4).encode())
    return report(part, outcomes, {"urls": len(numbers)})


def write_tar(file: IO[bytes], samples: list[tuple[dict[str, Any], Result]], spill: Spill) -> None:
    """The successes as {key}.jpg, {key}.json, {key}.txt, in order of key; owner and time are fixed: same images, same bytes."""
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for sample, result in samples:
            if sample["status"] == SUCCESS:
                _add(tar, f"{sample['key']}.jpg", spill.get(result.offset, result.length))
                _add(tar, f"{sample['key']}.json", json.dumps(_plain(sample), indent=4).encode())
                _add(tar, f"{sample['key']}.txt", (sample["caption"] or "").encode())


def sidecar(samples: list[dict[str, Any]], carried: tuple[str, ...]) -> pa.Table:
    """The sidecar's table: the carried columns and img2dataset's, in the schema's order."""
    names = [*carried, *(name for name in SHARDS.names[SHARDS.get_field_index("caption") :])]
    return pa.Table.from_pylist(samples, schema=pa.schema([SHARDS.field(name) for name in names]))


def stats(outcomes: Counter[tuple[str, str | None]], started: float) -> dict[str, Any]:
    """What img2dataset writes as _stats.json; `started` in s since the epoch."""
    ended = time.time()
    by_status = _by_status(outcomes)
    return {
        "count": outcomes.total(),
        "successes": by_status[SUCCESS],
        "failed_to_download": by_status[FAILED_TO_DOWNLOAD],
        "failed_to_resize": by_status[FAILED_TO_RESIZE],
        "duration": ended - started,
        "start_time": started,
        "end_time": ended,
        "status_dict": {reason or status: count for (status, reason), count in sorted(outcomes.items(), key=str)},
    }


def report(part: ShardPart, outcomes: Counter[tuple[str, str | None]], facts: dict[str, Any]) -> PartReport:
    """The shard's account: a count per outcome, rows in and out, and the success rate."""
    rows, successes = outcomes.total(), _by_status(outcomes)[SUCCESS]
    counts = Counter({count_name(status, reason): count for (status, reason), count in outcomes.items()})
    return PartReport(
        name=part.name,
        counts={"rows_in": rows, "rows_out": successes, **dict(sorted(counts.items()))},
        inputs=tuple(InputReport(path=piece.path, rows=piece.rows) for piece in part.slices),
        facts={"successes": successes, "success_rate": round(successes / max(1, rows), 6), **facts},
    )


def key_of(shard: int, row: int, samples_per_shard: int) -> str:
    """img2dataset's sample key: 5 digits for the shard, then as many as row numbers below `samples_per_shard` may need."""
    digits = math.ceil(math.log10(samples_per_shard))
    return f"{10**digits * shard + row:0{digits + _SHARD_DIGITS}d}"


def _removed(rows: pa.Table, removal: Removal) -> list[Result | None]:
    """Per row the failure of a pair that is on a removal list, None for the others."""
    codes = removal.reasons([uid or "" for uid in rows["uid"].to_pylist()], rows["url"].to_pylist())
    return [Result(removed_by(REASONS[code - 1])) if code else None for code in codes.tolist()]


def _settings(config: DownloadConfig, removal: Removal) -> EngineSettings:
    anywhere = config.allow_private_addresses or config.proxy is not None
    limits = FetchLimits(
        timeout_s=config.timeout_s,
        max_bytes=config.max_bytes,
        user_agent=config.user_agent,
        may_connect=address.any_address if anywhere else address.is_public,
        proxy=config.proxy,
        retries=config.retries,
    )
    image = ImageSettings(
        size=config.image_size,
        mode=config.resize_mode,
        enlarge=config.enlarge,
        quality=config.encode_quality,
        max_pixels=config.max_pixels,
    )
    return EngineSettings(
        limits=limits, image=image, concurrency=config.concurrency, decode_threads=config.decode_threads, removal=removal
    )


def _samples(
    rows: pa.Table, part: ShardPart, samples_per_shard: int, results: list[Result]
) -> Iterator[tuple[dict[str, Any], Result]]:
    """Each row as the sidecar's columns in their order, with the result of its URL."""
    for number, (row, result) in enumerate(zip(rows.to_pylist(), results, strict=True)):
        status, reason = result.failure or (SUCCESS, None)
        picture = result.picture
        yield (
            {
                **row,
                "key": key_of(part.index, number, samples_per_shard),
                "status": status,
                "error_message": reason,
                "width": picture and picture.width,
                "height": picture and picture.height,
                "original_width": picture and picture.original_width,
                "original_height": picture and picture.original_height,
                "exif": picture and picture.exif,
                "sha256": result.sha256,
            },
            result,
        )


def _by_status(outcomes: Counter[tuple[str, str | None]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for (status, _), count in outcomes.items():
        found[status] += count
    return found


def _plain(sample: dict[str, Any]) -> dict[str, Any]:
    """The sample as JSON knows it: times in ISO 8601."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in sample.items()}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o444
    tar.addfile(member, io.BytesIO(data))

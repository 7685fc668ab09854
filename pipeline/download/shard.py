"""One shard: its rows downloaded and written as tar, sidecar parquet and stats."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.download.engine import Order, Result, Spill, download
from pipeline.download.layout import key_of, members, sidecar_schema, stats, write_tar
from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, SUCCESS, Failure, removed_by
from pipeline.download.plan import ShardPart, read_rows
from pipeline.download.settings import Downloading
from pipeline.download.standing import Standing
from pipeline.download.tally import report
from pipeline.manifest import PartReport
from pipeline.removal import REASONS, Removal
from pipeline.stage import Part, PartFolder

_KEPT = Result(Failure(SUCCESS, None))  # stands for a row that a standing shard settles
_BAD_BOXES = Result(Failure(FAILED_TO_DOWNLOAD, "bad_boxes"))


def download_shard(told: Downloading, part: Part, folder: PartFolder) -> PartReport:
    """Download a shard, but for what is to go, and write its three files."""
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    started = time.time()
    rows = read_rows(part)
    standing = Standing.of(folder.folder, part.name) if told.retry_failed else None
    kept = standing.kept if standing is not None else [False] * len(rows)
    asked = orders(rows, told)
    settled = [
        _KEPT if keep else gone or (None if order.is_sound else _BAD_BOXES)
        for order, keep, gone in zip(asked, kept, _removed(rows, told.engine.removal), strict=True)
    ]
    wanted = dict.fromkeys(order for order, known in zip(asked, settled, strict=True) if known is None)
    places = {order: place for place, order in enumerate(wanted)}
    with Spill() as spill:
        fetched = download(list(places), told.engine, spill)
        results = [known or fetched[places[order]] for order, known in zip(asked, settled, strict=True)]
        table = sidecar(rows, part, told, results)
        images = _images(results, spill)
        if standing is not None:
            table, images = standing.merged(table), _either(standing, images, told.engine.image.format)
        with folder.open(f"{part.name}.tar") as file:
            write_tar(file, members(table, told.engine.image.format, images))
    return write_beside(table, part, folder, started, {"urls": len(places)})


def orders(rows: pa.Table, told: Downloading) -> list[Order]:
    """What each row asks for."""
    urls = rows["url"].to_pylist()
    hashes = rows[told.verify_hash].to_pylist() if told.verify_hash else [None] * len(urls)
    boxes = rows[told.blur_boxes].to_pylist() if told.blur_boxes else [None] * len(urls)
    return [
        Order(url, expected, tuple(tuple(box or ()) for box in found or ()))
        for url, expected, found in zip(urls, hashes, boxes, strict=True)
    ]


def sidecar(rows: pa.Table, part: ShardPart, told: Downloading, results: Sequence[Result]) -> pa.Table:
    """The rows with what became of them, in the sidecar's columns."""
    schema = sidecar_schema(part.carried, told.engine.hashes)
    pictures = [result.picture for result in results]
    accounts = [result.account for result in results]
    columns: dict[str, list[Any]] = {
        "key": [key_of(part.index, number, told.samples_per_shard) for number in range(len(results))],
        "status": [result.failure.status if result.failure else SUCCESS for result in results],
        "error_message": [result.failure.reason if result.failure else None for result in results],
        **{
            name: [picture and getattr(picture, name) for picture in pictures]
            for name in ("width", "height", "original_width", "original_height", "exif")
        },
        **{
            name: [result.hashes[place] if result.hashes and result.picture else None for result in results]
            for place, name in enumerate(told.engine.hashes)
        },
        **{name: [getattr(account, name) for account in accounts] for name in ("final_url", "content_type")},
        "bytes_read": [account.bytes_read if account.attempts else None for account in accounts],
        "duration_s": [account.duration_s if account.attempts else None for account in accounts],
        "attempts": [account.attempts for account in accounts],
        "image_fetched_at": [account.ended_at and datetime.fromtimestamp(account.ended_at, UTC) for account in accounts],
        "reencoded": [None if picture is None else not picture.passed for picture in pictures],
    }
    arrays = [pa.array(columns[field.name], field.type) if field.name in columns else rows[field.name] for field in schema]
    return pa.table(arrays, schema=schema)


def write_beside(table: pa.Table, part: ShardPart, folder: PartFolder, started: float, facts: dict[str, Any]) -> PartReport:
    """Write what stands beside the tar, the sidecar and the stats; the shard's report."""
    with folder.open(f"{part.name}.parquet") as file:
        pq.write_table(table, file)
    outcomes = Counter(zip(table["status"].to_pylist(), table["error_message"].to_pylist(), strict=True))
    with folder.open(f"{part.name}_stats.json") as file:
        file.write(json.dumps(stats(outcomes, started, time.time()), indent=4).encode())
    return report(part, table, outcomes, facts)


def _images(results: Sequence[Result], spill: Spill) -> Iterator[bytes | None]:
    for result in results:
        yield None if result.picture is None else spill.get(result.offset, result.length)


def _either(standing: Standing, fresh: Iterator[bytes | None], ending: str) -> Iterator[bytes | None]:
    """Per row its image of old where the row is kept and has one, else the fresh one."""
    old, statuses = standing.images(ending), standing.table["status"].to_pylist()
    for image, keep, status in zip(fresh, standing.kept, statuses, strict=True):
        yield next(old) if keep and status == SUCCESS else image


def _removed(rows: pa.Table, removal: Removal) -> list[Result | None]:
    """Per row the failure of a pair that is on a removal list, None for the others."""
    codes = removal.reasons([uid or "" for uid in rows["uid"].to_pylist()], rows["url"].to_pylist())
    return [Result(removed_by(REASONS[code - 1])) if code else None for code in codes.tolist()]

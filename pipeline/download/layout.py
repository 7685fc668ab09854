"""img2dataset's layout, byte for byte: the tar and its members, the sidecar parquet, _stats.json, sizes.json, the keys."""

import json
import math
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from json.encoder import encode_basestring_ascii
from typing import IO, Any

import pyarrow as pa

from pipeline.download.outcomes import FAILED_TO_DOWNLOAD, FAILED_TO_RESIZE, SUCCESS
from schemas.shards import ACCOUNT, IMG2DATASET

_SHARD_DIGITS = 5  # img2dataset's oom_shard_count
_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)
_WRITTEN_AT_ONCE = 2**18  # bytes; a call per member costs half as much again


def key_of(shard: int, row: int, samples_per_shard: int) -> str:
    """img2dataset's sample key: 5 digits for the shard, then as many as row numbers below `samples_per_shard` may need."""
    digits = math.ceil(math.log10(samples_per_shard))
    return f"{10**digits * shard + row:0{digits + _SHARD_DIGITS}d}"


def sidecar_schema(carried: Sequence[pa.Field], hashes: Sequence[str] = ("sha256",)) -> pa.Schema:
    """The sidecar's columns: the carried ones, img2dataset's, other `hashes` than sha256, our account of the request."""
    more = [pa.field(name, pa.string()) for name in hashes if name != "sha256"]
    return pa.schema([*carried, *IMG2DATASET, *more, *ACCOUNT])


def members(table: pa.Table, ending: str, images: Iterable[bytes | None]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a shard's members in order of key: per success its image, json and txt.

    `images` has one entry per row of `table`, None for those that have none. The json tells what img2dataset tells, not how
    long a request took: the same answers give the same tar.
    """
    told = [name for name in table.column_names if name not in {field.name for field in ACCOUNT}]
    names = [encode_basestring_ascii(name) for name in told]
    columns = [table[name].to_pylist() for name in told]
    keys, captions = told.index("key"), told.index("caption")
    for image, row in zip(images, zip(*columns, strict=True), strict=True):
        if image is not None:
            yield f"{row[keys]}.{ending}", image
            lines = ",\n".join(f"    {name}: {_as_json(value)}" for name, value in zip(names, row, strict=True))
            yield f"{row[keys]}.json", f"{{\n{lines}\n}}".encode()
            yield f"{row[keys]}.txt", (row[captions] or "").encode()


def write_tar(file: IO[bytes], members: Iterable[tuple[str, bytes]]) -> None:
    """Members as a USTAR archive; owner, mode and time are fixed: same members, same bytes."""
    size, waiting = 0, bytearray()
    for name, data in members:
        for piece in (_head(name, len(data)), data, bytes(-len(data) % tarfile.BLOCKSIZE)):
            waiting += piece
        if len(waiting) >= _WRITTEN_AT_ONCE:
            file.write(waiting)
            size += len(waiting)
            waiting.clear()
    waiting += _END_OF_TAR
    file.write(waiting + bytes(-(size + len(waiting)) % tarfile.RECORDSIZE))


def _head(name: str, size: int) -> bytes:
    """The head of a member (POSIX.1-1988, ustar): tarfile's, with name, size and checksum set in; ten times as fast."""
    raw, digits = name.encode("ascii"), b"%011o" % size
    if len(raw) >= _NAME_BYTES or len(digits) > _SIZE_DIGITS:
        raise ValueError(f"member {name!r} of {size} bytes: the name or the size is too long for a ustar archive")
    head = bytearray(_PLAIN_HEAD)
    head[: len(raw)], head[124:135] = raw, digits
    head[148:156] = b"%06o\0 " % (_PLAIN_SUM + sum(raw) + sum(digits) - _SIZE_DIGITS * ord("0"))
    return bytes(head)


def _plain_head() -> bytes:
    """The head of an empty member without a name."""
    told = tarfile.TarInfo("")
    told.mode = 0o444
    return told.tobuf(tarfile.USTAR_FORMAT)


_NAME_BYTES, _SIZE_DIGITS = 100, 11
_PLAIN_HEAD = _plain_head()
_PLAIN_SUM = int(_PLAIN_HEAD[148:154], 8)


def stats(outcomes: Mapping[tuple[str, str | None], int], started: float, ended: float) -> dict[str, Any]:
    """What img2dataset writes as _stats.json: `outcomes` counts (status, error_message), times in s since the epoch."""
    by_status = successes_and_failures(outcomes)
    return {
        "count": by_status.total(),
        "successes": by_status[SUCCESS],
        "failed_to_download": by_status[FAILED_TO_DOWNLOAD],
        "failed_to_resize": by_status[FAILED_TO_RESIZE],
        "duration": ended - started,
        "start_time": started,
        "end_time": ended,
        "status_dict": {reason or status: count for (status, reason), count in sorted(outcomes.items(), key=str)},
    }


def successes_and_failures(outcomes: Mapping[tuple[str, str | None], int]) -> Counter[str]:
    """Pairs by status."""
    found: Counter[str] = Counter()
    for (status, _), count in outcomes.items():
        found[status] += count
    return found


def _as_json(value: Any) -> str:
    """A value as json.dumps(…, indent=4) writes it one level deep; times in ISO 8601."""
    if isinstance(value, str):
        return encode_basestring_ascii(value)
    if isinstance(value, datetime):
        return f'"{value.isoformat()}"'
    if isinstance(value, list | dict):
        return json.dumps(value, indent=4, default=str).replace("\n", "\n    ")
    return json.dumps(value, default=str)

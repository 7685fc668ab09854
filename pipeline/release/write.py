"""Sorted rows of one file of the release → data/NNNNN.parquet, its .npz, and the part's report: checksums, what it holds."""

import hashlib
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, Any, cast

import numpy as np
import pyarrow as pa

from pipeline import io
from pipeline.ledger import write_report
from pipeline.manifest import InputReport, PartReport, peak_rss_bytes
from pipeline.release.census import Census
from pipeline.release.data_files import write_data_file
from pipeline.release.rows import ARRAY
from pipeline.stage import Part, part_folder

_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every process that writes files must know."""

    folder: str  # of the data files
    schema: pa.Schema
    arrays: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)  # of all rows: told in the first file's report
    inputs: tuple[InputReport, ...] = ()  # likewise


def part_name(number: int) -> str:
    """The name of the part that a file of the release is: that of the file, without its suffix."""
    return f"{number:05d}"


def write_part(number: int, tables: Iterable[pa.Table], job: Job) -> PartReport:
    """Write one file from rows in SORT_ORDER, in `travelling` columns, and then its report: done.

    Arrays lie in the system's temporary folder meanwhile. Raises UserError where the disk is full.
    """
    try:
        return _write_part(number, tables, job)
    except OSError as error:
        io.require_room(job.folder, error)
        raise


def _write_part(number: int, tables: Iterable[pa.Table], job: Job) -> PartReport:
    started = time.monotonic()
    part, census = Part(name=part_name(number)), Census()
    sums: dict[str, dict[str, Any]] = {}
    with part_folder(job.folder, part) as folder, ExitStack() as stack:
        spools = {name: stack.enter_context(tempfile.TemporaryFile()) for name in job.arrays}
        with folder.open(f"{part.name}.parquet") as file:
            hashing = _Hashing(file)
            rows = write_data_file(cast(IO[bytes], hashing), job.schema, _looked_at(tables, census, spools, job))
            sums[f"{part.name}.parquet"] = hashing.told()
        if job.arrays:
            with folder.open(f"{part.name}.npz") as file:
                hashing = _Hashing(file)
                _write_arrays(hashing, spools, rows, job.arrays)
                sums[f"{part.name}.npz"] = hashing.told()
        files = folder.commit()
    first = number == 0
    report = PartReport(
        name=part.name,
        counts={**(job.counts if first else {}), "rows_out": rows},
        inputs=job.inputs if first else (),
        files=files,
        facts={"_files": sums, "_rows": rows, "_census": census.as_json()},
        duration_s=round(time.monotonic() - started, 3),
        peak_rss_bytes=peak_rss_bytes(),
    )
    write_report(job.folder, report)
    return report


def _looked_at(tables: Iterable[pa.Table], census: Census, spools: Mapping[str, IO[bytes]], job: Job) -> Iterator[pa.Table]:
    """The released columns; what stands in the others is laid aside, what the rows hold is counted."""
    for table in tables:
        for name, spool in spools.items():
            for chunk in table[ARRAY + name].chunks:
                spool.write(_bytes_of(chunk, job.arrays[name]))
        rows = table.select(job.schema.names)
        census.count(rows)
        yield rows


def _bytes_of(chunk: pa.Array, dimensions: int) -> memoryview:
    fixed = chunk.cast(pa.binary(2 * dimensions))
    data = fixed.buffers()[1]
    start, length = fixed.offset * 2 * dimensions, len(fixed) * 2 * dimensions
    return memoryview(data)[start : start + length] if data is not None else memoryview(b"")


def _write_arrays(file: "_Hashing", spools: Mapping[str, IO[bytes]], rows: int, arrays: Mapping[str, int]) -> None:
    """An .npz as np.savez writes it, (rows, dimensions) float16 each, without holding it in memory."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, spool in spools.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the time of writing must not show
            entry.external_attr = 0o600 << 16
            with archive.open(entry, "w", force_zip64=True) as member:
                header = {"descr": "<f2", "fortran_order": False, "shape": (rows, arrays[name])}
                np.lib.format.write_array_header_1_0(member, header)
                spool.seek(0)
                shutil.copyfileobj(spool, member, _CHUNK_BYTES)


class _Hashing:
    """A file to append to, which knows its sha256: on an object store, reading it back would cost as much as writing it.

    It cannot seek, so that what is written does not depend on whether the file system could.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._digest.update(view)
        self._bytes += len(view)
        return len(view)

    def tell(self) -> int:
        return self._bytes

    def flush(self) -> None:
        """The file's owner closes it, which flushes."""

    def close(self) -> None:
        """The file's owner closes it."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def told(self) -> dict[str, Any]:
        """sha256 in hex, and bytes."""
        return {"sha256": self._digest.hexdigest(), "bytes": self._bytes}

"""One WAT → its candidates, read and written as a stream."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.extract.config import ExtractConfig
from pipeline.extract.inputs import WatPart
from pipeline.extract.naming import CRAWL_IN_PATH, wat_path
from pipeline.extract.remote import Readable, open_source
from pipeline.extract.window import Window
from pipeline.manifest import InputReport, PartReport
from pipeline.stage import Part, PartFolder
from schemas.candidates import CANDIDATES
from schemas.errors import UserError

_ALWAYS_TOLD = frozenset({"rows_in", "rows_out", "bytes_read"})


def extract_wat(config: ExtractConfig, part: Part, folder: PartFolder) -> PartReport:
    """Write `{part}.parquet` from the part's WAT. Raises UserError where nothing of it can be read."""
    assert isinstance(part, WatPart)  # noqa: S101 - the stage plans no other parts
    path = part.inputs[0]
    tally: Counter[str] = Counter()
    with (
        closing(open_source(part.source)) as source,
        folder.open(f"{part.name}.parquet") as target,
        pq.ParquetWriter(target, CANDIDATES, compression="zstd") as writer,
    ):
        for rows in read_candidates(source, path, tally, config.wanted):
            writer.write_batch(rows)
    if not tally["records"]:
        raise UserError(f"{path}: no WARC record could be read ({_damage_in(tally) or 'none in it'}); is it a WAT?")
    damage = _damage_in(tally)
    report = InputReport(
        path=path, status="partial" if damage else "ok", error=damage, rows=tally["rows_out"], bytes_read=tally.pop("bytes_read")
    )
    return PartReport(name=part.name, counts=dict(tally), inputs=(report,))


def read_candidates(source: Readable, path: str, tally: Counter[str], wanted: int = 0) -> Iterator[pa.RecordBatch]:
    """Record batches of CANDIDATES, of at most 32,768 rows each, from the WAT that `source` reads and `path` names.

    `wanted` (bits of compiled.sources) says where images are taken from besides <img>: they follow those of their page.

    Rows stand in the order of the WAT; of a uid the first, and later ones whose page refuses more: a page that opts out speaks
    for every copy of its pairs, so pool must see what it says, whichever page came first. Counts in `tally`: rows_in (image
    links), rows_out, every dropped_REASON and mended_REASON, records and what was wrong with them, bytes_read. Raises UserError
    where it is no WAT.
    """
    # numba, and the cached machine code, are loaded where a WAT is read and nowhere else.
    from pipeline.extract.batches import read_batches
    from pipeline.extract.rows import RowGroups
    from pipeline.extract.scan import Scanner

    tally.update(rows_in=0, rows_out=0)
    window, scanner, groups = Window(source), Scanner(_crawl_in(path), tally, wanted), RowGroups(wat_path(path))

    def filled() -> Iterator[pa.RecordBatch]:
        for batch in read_batches(window, path, tally, scanner.hear):
            yield from groups.add(batch.buffer, scanner.scan(batch))
        yield from groups.rest()

    for rows in filled():
        tally["rows_out"] += rows.num_rows
        yield rows
    tally["dropped_duplicate_in_wat"] += groups.duplicates
    tally["bytes_read"] = window.end
    for name in [name for name, count in tally.items() if not count and name not in _ALWAYS_TOLD]:
        del tally[name]


def _crawl_in(path: str) -> str | None:
    found = CRAWL_IN_PATH.search(path)
    return found[1] if found else None


def _damage_in(tally: Counter[str]) -> str:
    said = []
    if tally["damaged_members"]:
        said.append(f"damaged places, skipped: {tally['damaged_members']}")
    if tally["truncated_files"]:
        said.append("truncated: the file ends inside a gzip member")
    if tally["records_cut_short"]:
        said.append(f"records cut short: {tally['records_cut_short']}")
    return "; ".join(said)

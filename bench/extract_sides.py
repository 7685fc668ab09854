"""The sides of extract's benchmark, each in a process of its own: `python -m bench.extract_sides SIDE WAT…`.

A side does all the WATs it is given, from the file on disk to rows (or bytes), and answers how many. cc2dataset's runs in an
environment of its own, so nothing of ours is imported at the top.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.child import Answer, serve

GZIP_SIGN = b"\x1f\x8b\x08"
_SMALLEST_MEMBER = 18  # bytes


def ours() -> Callable[[str], Answer]:
    """The bare parse: all columns of CANDIDATES as Arrow batches, duplicates within the WAT gone; nothing is written."""
    candidates = reader_of_candidates()
    return lambda wat: {"rows": sum(batch.num_rows for batch in candidates(wat))}


def ours_written() -> Callable[[str], Answer]:
    """The stage's own work on one WAT: the bare parse, and its rows written as parquet."""
    from pipeline.extract import ExtractConfig
    from pipeline.extract.inputs import parts_of
    from pipeline.extract.wat import extract_wat
    from pipeline.stage import PartFolder

    def write(wat: str) -> Answer:
        with TemporaryDirectory(dir=Path(wat).parent) as out:
            config = ExtractConfig(out=out, wat=(wat,))
            (part,) = parts_of(config)
            folder = PartFolder(out, part)
            report = extract_wat(config, part, folder)
            (written,) = folder.commit()
            return {"rows": report.counts["rows_out"], "parquet_bytes": Path(out, written).stat().st_size}

    return write


def reader_of_candidates() -> Callable[[str], Iterator[Any]]:
    """Path of a WAT → its record batches: the one place of the benchmark that knows how extract is called."""
    from pipeline.extract.remote import open_source
    from pipeline.extract.wat import read_candidates

    def candidates(wat: str) -> Iterator[Any]:
        with open_source(wat) as source:
            yield from read_candidates(source, wat, Counter())

    return candidates


def inflate() -> Callable[[str], Answer]:
    """Decompression alone: the file read, cut at member headers, each member inflated by libdeflate in one call and let go."""
    from deflate import DeflateError, gzip_decompress

    def inflate_all(wat: str) -> Answer:
        data = Path(wat).read_bytes()
        view = memoryview(data)
        at = inflated = 0
        while at < len(data):
            end = at
            while end < len(data):
                end = data.find(GZIP_SIGN, max(end + 1, at + _SMALLEST_MEMBER))
                end = len(data) if end < 0 else end
                try:
                    inflated += len(gzip_decompress(view[at:end], int.from_bytes(view[end - 4 : end], "little")))
                    break
                except DeflateError:  # a header's bytes by chance inside the member
                    continue
            at = end
        return {"bytes": inflated}

    return inflate_all


def cc2dataset() -> Callable[[str], Answer]:
    """cc2dataset's own parse function, fed as its own caller does: the whole file in memory. The uid is in its rows."""
    from cc2dataset.main import extract_documents_from_wat

    return lambda wat: {"rows": len(extract_documents_from_wat(BytesIO(Path(wat).read_bytes()), "image"))}


SIDES = {"ours": ours, "ours, parquet written": ours_written, "decompression alone": inflate, "cc2dataset": cc2dataset}


def main() -> None:
    """Serve a side."""
    name, *wats = sys.argv[1:]
    do = SIDES[name]()

    def work() -> Answer:
        total: Counter[str] = Counter()
        for wat in wats:
            total.update(do(wat))
        return dict(total)

    serve(work)


if __name__ == "__main__":
    main()

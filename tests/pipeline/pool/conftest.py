"""Candidates for the pool's tests: small, each row told only by what matters to its test."""

import datetime
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.candidates import CANDIDATES

DAY = datetime.datetime(2024, 5, 21, tzinfo=datetime.UTC)


def _row(text="a red cat on a roof", url="https://images.example.org/cat.jpg", day=0, **values):
    row = {
        "uid": hashlib.md5((text + url).encode()).hexdigest(),
        "url": url,
        "text": text,
        "page_url": "https://example.org/",
        "wat_path": "a.warc.wat.gz",
        "record_offset": 0,
        "fetched_at": None if day is None else DAY + datetime.timedelta(days=day),
        "robots": [],
        "source": "img",
    }
    return row | values


@pytest.fixture(scope="session")
def row():
    """A function: one candidate as a dict."""
    return _row


@pytest.fixture(scope="session")
def batch():
    """A function: candidates as one batch."""
    return lambda rows: pa.RecordBatch.from_pylist(rows, schema=CANDIDATES)


@pytest.fixture(scope="session")
def write():
    """A function: a folder of candidate files, one per list of rows."""

    def write_files(folder, *files):
        folder.mkdir(exist_ok=True)
        for number, rows in enumerate(files):
            pq.write_table(pa.Table.from_pylist(rows, schema=CANDIDATES), folder / f"{number:05d}.parquet")
        return str(folder)

    return write_files

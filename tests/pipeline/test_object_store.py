"""The stages on an S3 API: read from it, write to it, and resume on it, as on a disk."""

import os
import subprocess
import sys

import fsspec
import pytest

pytest.importorskip("s3fs")


def webpairs(environment: dict[str, str], *words: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()[-1]


def test_extract_and_pool_from_and_to_a_bucket(s3_environment, shared_data):
    where = {"endpoint_url": s3_environment["AWS_ENDPOINT_URL"], "key": "key", "secret": "secret"}
    bucket = fsspec.filesystem("s3", use_listings_cache=False, **where)
    bucket.mkdir("crawl")
    bucket.put(str(shared_data / "wat/site2008.warc.wat.gz"), "crawl/wat/site2008.warc.wat.gz")

    assert "rows_out 99" in webpairs(s3_environment, "extract", "--wat", "s3://crawl/wat", "--out", "s3://crawl/1")
    pool = ("pool", "--candidates", "s3://crawl/1", "--out", "s3://crawl/2", "--partitions", "2")
    assert "rows_out 99" in webpairs(s3_environment, *pool)

    written = {path: bucket.modified(path) for path in bucket.find("crawl/2") if path.endswith(".parquet")}
    assert len(written) == 2
    assert "rows_out 99" in webpairs(s3_environment, *pool)
    assert {path: bucket.modified(path) for path in written} == written
    assert [path for path in bucket.find("crawl") if "_tmp" in path] == []

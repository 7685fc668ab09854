"""The stages on an S3 API: read from it, write to it, and resume on it, as on a disk."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import fsspec
import pytest

pytest.importorskip("s3fs")


@pytest.fixture(scope="module")
def s3_environment() -> Iterator[dict[str, str]]:
    """The environment in which s3:// leads to an empty S3 server on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        server.kill()
        server.wait()


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

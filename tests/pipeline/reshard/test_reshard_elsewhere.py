"""Reshard on an object store and on Spark gives the bytes that it gives here."""

import os
import subprocess
import sys

import fsspec
import numpy as np
import pytest

from schemas.errors import UserError

RUN = """
import sys
from pipeline.reshard import ReshardConfig, run
places = dict(zip(["input_dir", "output_dir", "subset_file"], sys.argv[1:]))
manifest = run(ReshardConfig(**places, shard_size=10, shuffle_bufsize=int(sys.argv[4])))
assert not manifest.failed_inputs, manifest.failed_inputs
print(manifest.counts["rows_out"], manifest.parts_resumed)
"""


@pytest.mark.slow
@pytest.mark.parametrize("bufsize", [32])
def test_from_a_bucket_to_a_bucket_with_a_subset_in_it(s3_environment, shards, bufsize):
    where = {"endpoint_url": s3_environment["AWS_ENDPOINT_URL"], "key": "key", "secret": "secret"}
    bucket = fsspec.filesystem("s3", use_listings_cache=False, **where)
    name = f"bucket{bufsize}"
    bucket.mkdir(name)
    shards.fill(sidecars=True)
    shards.choose([*range(0, 60, 2), 8])
    bucket.put(str(shards.folder), f"{name}/in", recursive=True)
    bucket.put(str(shards.subset), f"{name}/subset.npy")

    words = [f"s3://{name}/in", f"s3://{name}/out", f"s3://{name}/subset.npy", str(bufsize)]
    for resumed in (0, 4):
        ran = subprocess.run(
            [sys.executable, "-c", RUN, *words],
            env={**os.environ, **s3_environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.split() == ["31", str(resumed)]

    shards.run(shuffle_bufsize=bufsize)
    files = {path.rpartition("/")[2]: path for path in bucket.find(f"{name}/out", maxdepth=1)}
    visible = {file: bucket.cat(path) for file, path in files.items() if not file.startswith("_") and file != "meta.json"}
    assert visible == shards.written()
    assert not [path for path in bucket.find(name) if "_tmp" in path]


def test_on_spark(shards, spark):
    from pipeline.reshard import run

    shards.fill(sidecars=True)
    shards.choose([*range(0, 60, 2), 8])
    shards.run()
    other = shards.root / "other"
    assert run(shards.config(output_dir=str(other)), spark).counts["rows_out"] == 31
    assert shards.written() == shards.written(other)


def test_on_spark_a_subset_that_is_not_sorted_is_refused(shards, spark):
    from pipeline.reshard import run

    shards.fill()
    shards.choose([4, 8])
    np.save(shards.subset, np.load(shards.subset)[::-1])
    with pytest.raises(UserError, match="not sorted"):
        run(shards.config(), spark)

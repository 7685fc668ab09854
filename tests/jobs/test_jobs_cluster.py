"""The way over a cluster, reduced: a Master and two Workers on loopback, an S3 server, jobs whose output is the commands' own."""

import gzip
import json
import os

import pytest

from bench.cluster_compare import differences
from bench.cluster_machines import cluster, loopback
from bench.cluster_processes import marked
from bench.places import REPOSITORY
from jobs.package import write_zip
from pipeline import io
from pipeline.extract import ExtractConfig
from pipeline.extract import run as extract
from pipeline.filter import FilterConfig
from pipeline.filter import run as filter_
from pipeline.pool import PoolConfig
from pipeline.pool import run as pool

WATS = "crawl-data/TEST"  # named as on a mirror of a crawl, a WAT has the same path in a row wherever it is read
PROBE = """
from pyspark.sql import SparkSession

def where(_):
    import os, socket, time
    import pipeline
    time.sleep(2)  # so that neither Worker does both
    return [f"{os.environ['SPARK_LOCAL_IP']} {pipeline.__file__}"]

spark = SparkSession.builder.getOrCreate()
print(*spark.sparkContext.parallelize(range(2), 2).flatMap(where).collect(), sep="\\n")
spark.stop()
"""


def wat(number):
    """A WAT of one page with twenty pairs, of which WATs share some."""
    links = [
        {"path": "IMG@/src", "url": f"/{i}.jpg", "alt": f"picture {i} of a red cat"} for i in range(number * 15, number * 15 + 20)
    ]
    payload = {"HTTP-Response-Metadata": {"HTML-Metadata": {"Links": links}}}
    header = {"WARC-Target-URI": "http://example.org/", "WARC-Date": "2024-05-21T00:00:00Z", "WARC-Type": "response"}
    body = json.dumps({"Envelope": {"WARC-Header-Metadata": header, "Payload-Metadata": payload}}).encode()
    record = b"WARC/1.0\r\nWARC-Type: metadata\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (len(body), body)
    return gzip.compress(record, mtime=0)


def run_all(job, root, wats):
    """extract → pool → filter, each by `job(stage, *options)`."""
    job("extract", "--wat", wats, "--out", io.join(root, "extract"))
    job("pool", "--candidates", io.join(root, "extract"), "--out", io.join(root, "pool"), "--partitions", 2)
    chosen = ("--name", "random_subset", "--fraction", 0.5, "--metadata-dir", io.join(root, "pool"))
    job("filter", *chosen, "--save-path", io.join(root, "filter/subset.npy"))


def run_here(spark, root, wats):
    """The same in this process."""
    extract(ExtractConfig(wat=(wats,), out=f"{root}/extract"))
    pool(PoolConfig(candidates=f"{root}/extract", out=f"{root}/pool", partitions=2), spark)
    os.mkdir(f"{root}/filter")
    chosen = {"name": "random_subset", "fraction": 0.5, "metadata_dir": f"{root}/pool"}
    filter_(FilterConfig(save_path=f"{root}/filter/subset.npy", **chosen))


@pytest.mark.slow
@pytest.mark.cluster
def test_jobs_on_two_workers_give_in_a_bucket_what_the_commands_give_in_folders(s3_environment, spark, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    where = {"endpoint_url": s3_environment["AWS_ENDPOINT_URL"], "key": "key", "secret": "secret"}
    bucket = fsspec.filesystem("s3", skip_instance_cache=True, use_listings_cache=False, **where)
    bucket.mkdir("cluster")
    (tmp_path / WATS).mkdir(parents=True)
    for number in range(3):
        (tmp_path / WATS / f"{number}.warc.wat.gz").write_bytes(wat(number))
        bucket.pipe(f"cluster/{WATS}/{number}.warc.wat.gz", wat(number))
    write_zip(tmp_path / "webpairs.zip")
    (tmp_path / "probe.py").write_text(PROBE)
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))  # the scanner is compiled there already
    given = {**s3_environment, "XDG_CACHE_HOME": cache, "OMP_NUM_THREADS": "1"}
    with cluster(tmp_path / "cluster", memory_mb=512, code=tmp_path / "webpairs.zip", environment=given) as machines:

        def submit(stage, *options):
            done = machines.submit(REPOSITORY / "jobs" / f"{stage}.py", *options, timeout_s=240)
            assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

        seen = machines.submit(tmp_path / "probe.py").stdout.split("\n")
        assert {line.split()[0] for line in seen if line} == {machine.address for machine in loopback(2).machines}, seen
        assert all("webpairs.zip/" in line for line in seen if line), seen
        run_all(submit, "s3://cluster/run", f"s3://cluster/{WATS}")
        mark = machines.mark
    assert not marked(mark)  # nothing that it started is left
    bucket.get("cluster/run", str(tmp_path / "there"), recursive=True)
    (tmp_path / "here").mkdir()
    run_here(spark, tmp_path / "here", str(tmp_path / WATS))
    found = {name: differences(name, str(tmp_path / "there" / name), str(tmp_path / "here" / name)) for name in folders()}
    assert found == {name: [] for name in folders()}


def folders():
    """What is compared."""
    return ("extract", "pool", "filter")

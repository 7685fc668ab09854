"""Bytes of a published row, scored; what publishing one more row of a pool costs on Spark, and what of it is shuffled."""

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bench.places import REPOSITORY
from bench.plan_rows import rows_and_bytes, webpairs
from bench.result import Figure
from bench.tree import Cost, cost_of

_TIMES, _CORES = 20, 2


class Published(NamedTuple):
    """A release of a pool: its rows, what the job cost, and the bytes that its tasks wrote to the shuffle."""

    rows: int
    cost: Cost
    shuffled: int


def release_figures(root: Path) -> list[Figure]:
    """`release` of root's scores, and of a pool of its rows once and many times over."""
    out = root / "release"
    webpairs(root, "release", "--root", str(root), "--out", str(out))
    rows, size = rows_and_bytes(out / "data")
    few, many = (_of_pool(root, times) for times in (1, _TIMES))
    return [
        Figure(
            key="release_bytes_per_row", value=size / rows, meaning="parquet of a release of scored pairs, one model, per row"
        ),
        Figure(
            key="release_us_per_row",
            value=1e6 * (many.cost.total_s - few.cost.total_s) / (many.rows - few.rows),
            meaning=f"CPU µs of publishing one more row of a pool ({few.rows:,} to {many.rows:,}) on Spark, all processes",
        ),
        Figure(
            key="release_shuffle_bytes_per_row",
            value=many.shuffled / many.rows,
            meaning="bytes written to the shuffle per row of the same, zstd",
        ),
    ]


def _of_pool(root: Path, times: int) -> Published:
    """Root's pool `times` over, each copy under other URLs and uids, published by jobs/release.py."""
    from pipeline.spark import java_home

    place = root / f"pool published {times}"
    for name in ("2_pool", "events"):
        (place / name).mkdir(parents=True)
    source = pa.concat_tables([pq.read_table(path) for path in sorted((root / "2_pool").glob("*.parquet"))])
    for copy in range(times):
        pq.write_table(_copied(source, copy), place / "2_pool" / f"{copy:05d}.parquet")
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": (place / "events").as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.io.compression.codec": "zstd",
        "spark.sql.session.timeZone": "UTC",
        "spark.ui.enabled": "false",
    }
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", f"local[{_CORES}]"]
    confs = [word for key, setting in settings.items() for word in ("--conf", f"{key}={setting}")]
    job = [str(REPOSITORY / "jobs" / "release.py"), "--of", "pool", "--root", str(place), "--out", str(place / "out")]
    env = {"JAVA_HOME": java_home(), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    package = ["--py-files", str(root / "webpairs.zip")]
    cost = cost_of([*submit, *package, *confs, *job], folder=root, log=root / "release.log", env=env)
    return Published(source.num_rows * times, cost, sum(map(_shuffled_bytes, (place / "events").iterdir())))


def _shuffled_bytes(log: Path) -> int:
    with log.open() as lines:
        events = (json.loads(line) for line in lines if '"SparkListenerTaskEnd"' in line)
        return sum(event["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"] for event in events)


def _copied(source: pa.Table, copy: int) -> pa.Table:
    urls = [f"{url}#{copy}" for url in source["url"].to_pylist()]
    texts = source["text"].to_pylist()
    uids = [hashlib.md5((t + u).encode(), usedforsecurity=False).hexdigest() for t, u in zip(texts, urls, strict=True)]
    for name, values in (("url", urls), ("uid", uids)):
        source = source.set_column(source.schema.get_field_index(name), source.schema.field(name), pa.array(values))
    return source

"""Bytes per row of candidates and pool from real pages, and of the pool's shuffle with the cluster's compression."""

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq

from bench.places import REPOSITORY
from bench.result import Figure
from bench.tree import Cost, cost_of

_CORES = 2


def webpairs(root: Path, *words: str) -> Cost:
    """`webpairs` with these words, its output in a log below `root`."""
    return cost_of([sys.executable, "-m", "pipeline.cli", *words], folder=REPOSITORY, log=root / f"{words[0]}.log")


def rows_and_bytes(folder: Path) -> tuple[int, int]:
    """Rows and bytes of the parquet files of a folder."""
    files = sorted(folder.glob("*.parquet"))
    return sum(pq.read_metadata(path).num_rows for path in files), sum(path.stat().st_size for path in files)


def candidates_figures(wat: Path, root: Path) -> list[Figure]:
    """`extract` of the WAT of real pages into root/1_candidates."""
    webpairs(root, "extract", "--wat", str(wat), "--out", str(root / "1_candidates"))
    rows, size = rows_and_bytes(root / "1_candidates")
    return [
        Figure(key="candidates_bytes_per_row", value=size / rows, meaning=f"parquet of {rows:,} candidates of real pages"),
        Figure(
            key="wat_bytes_per_row", value=wat.stat().st_size / rows, meaning="compressed WAT per candidate of the same pages"
        ),
    ]


def pool_figures(root: Path) -> list[Figure]:
    """`pool` of the real candidates into root/2_pool, on Spark with the codec of jobs/conf/shuffle.conf."""
    spent = _pooled(root, root / "1_candidates", root / "2_pool")
    rows, size = rows_and_bytes(root / "2_pool")
    return [
        Figure(key="pool_bytes_per_row", value=size / rows, meaning=f"parquet of {rows:,} rows of a pool of real pages"),
        Figure(
            key="pool_shuffle_bytes_per_row",
            value=spent["shuffle_bytes_per_row"],
            meaning="bytes written to the shuffle per real candidate read, zstd",
        ),
    ]


def _pooled(root: Path, source: Path, out: Path) -> dict[str, float]:
    """What the job's manifest says that it cost. Few partitions: a small block compresses worse than those of a large pool."""
    from jobs.package import write_zip
    from pipeline.spark import java_home

    package = root / "webpairs.zip"
    write_zip(package)
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", f"local[{_CORES}]", "--py-files", str(package)]
    confs = ("spark.ui.enabled=false", "spark.io.compression.codec=zstd", "spark.sql.session.timeZone=UTC")
    words = [word for conf in confs for word in ("--conf", conf)]
    job = [str(REPOSITORY / "jobs" / "pool.py"), "--candidates", str(source), "--out", str(out), "--partitions", str(_CORES)]
    env = {"JAVA_HOME": java_home(), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    cost_of([*submit, *words, *job], folder=root, log=root / "pool.log", env=env)
    return dict(json.loads((out / "_manifest.json").read_text())["facts"]["cost"])

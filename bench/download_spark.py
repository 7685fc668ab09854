"""What Spark adds to a download: CPU seconds of jobs/download.py on local[2], all processes, beside the bare command's.

Both make whole shards of the same pool, two at a time. The job pays a fixed price (JVM, Spark's start), so it runs on a small
and on a large pool: what one more image costs is what a long job pays.
"""

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.download_pool import write_pool
from bench.download_sides import WORKERS, Place, check_outcomes, options, rows_of, webpairs
from bench.nginx import Server
from bench.places import REPOSITORY
from bench.tree import Cost, cost_of

_ROWS_PER_SHARD = 500
_SETTINGS = ("spark.ui.enabled=false",)


def overhead(corpus: str, server: Server, place: Place, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """One row per number of URLs: the bare command, the job, and their ratio."""
    from jobs.package import write_zip

    package = place.scratch / "webpairs.zip"
    write_zip(package)
    return [_row(write_pool(place.scratch / f"spark of {size}", corpus, "http", server, size), package, place) for size in sizes]


def _row(pool: Path, package: Path, place: Place) -> dict[str, Any]:
    size = rows_of(pool)
    bare = _run("bare", webpairs("bare").command, pool, place)
    job = _run("job", partial(_submit, package), pool, place)
    parts = ", ".join(f"{program} {cpu_s:.1f}" for program, cpu_s in sorted(job.cpu_s.items()))
    print(f"  {size:,} URLs: job {job.total_s:.1f} CPU s ({parts}), bare {bare.total_s:.1f}", flush=True)
    return {
        "urls": size,
        "job_cpu_s": job.total_s,
        "job_wall_s": job.wall_s,
        "bare_cpu_s": bare.total_s,
        "bare_wall_s": bare.wall_s,
        "overhead": job.total_s / bare.total_s,
        "job_peak_pss_mb": job.peak_pss_mb,
        "bare_peak_pss_mb": bare.peak_pss_mb,
    }


def _run(name: str, command: Callable[[Path, Path, int], list[str]], pool: Path, place: Place) -> Cost:
    from pipeline.spark import java_home

    out = place.scratch / f"spark {name}"
    shutil.rmtree(out, ignore_errors=True)
    spark = {"JAVA_HOME": java_home(), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    env = {**place.environment, **spark}
    cost = cost_of(
        command(pool, out, _ROWS_PER_SHARD), folder=REPOSITORY, log=out.with_suffix(".log"), env=env, cores=place.cores
    )
    check_outcomes(name, pool, out)
    return cost


def _submit(package: Path, pool: Path, out: Path, rows_per_shard: int) -> list[str]:
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", f"local[{WORKERS}]", "--py-files", str(package)]
    settings = [word for setting in _SETTINGS for word in ("--conf", setting)]
    job = options(pool, out, rows_per_shard)[1:]
    return [*submit, *settings, str(REPOSITORY / "jobs" / "download.py"), *job]

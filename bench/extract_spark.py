"""What Spark adds: CPU seconds of jobs/extract.py on local[2], all processes, beside the bare parse of the same WATs."""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.child import Side
from bench.places import REPOSITORY
from bench.tree import Cost, cost_of

_CORES = 2


def overhead(wat: Path, sizes: Sequence[int], *, first: Path) -> list[dict[str, Any]]:
    """One row per number of WATs, hard links to `wat` under other names, after a job on `first` that is not counted.

    That one compiles the scanner, which a machine does once. The job's seconds hold everything from spark-submit to its end,
    those of the bare parse neither Python's start nor imports.
    """
    from jobs.package import write_zip

    with TemporaryDirectory(dir=wat.parent) as folder:
        package = Path(folder, "webpairs.zip")
        write_zip(package)
        Path(folder, "first").mkdir()
        _job([first], package, Path(folder, "first"))
        return [_row(wat, size, package, Path(folder, str(size))) for size in sizes]


def _row(wat: Path, size: int, package: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    wats = [folder / f"{number:05d}.warc.wat.gz" for number in range(size)]
    for path in wats:
        os.link(wat, path)
    job, rows, shuffled = _job(wats, package, folder)
    bare = _bare_cpu_s("ours", wats)
    written = _bare_cpu_s("ours, parquet written", wats)
    at_once = _bare_at_once_cpu_s(wats)
    parts = ", ".join(f"{program} {cpu_s:.1f}" for program, cpu_s in sorted(job.cpu_s.items()))
    print(f"{size} WATs: job {job.total_s:.1f} CPU s ({parts}), bare parse {bare:.1f}, with parquet {written:.1f}", flush=True)
    return {
        "wats": size,
        "rows": rows,
        "job_cpu_s": job.total_s,
        "job_wall_s": job.wall_s,
        "rows_per_s": rows / job.wall_s,
        "shuffled_bytes": shuffled,
        "bare_cpu_s": bare,
        "bare_written_cpu_s": written,
        "bare_two_at_once_cpu_s": at_once,
        "overhead": job.total_s / bare,
        "overhead_written": job.total_s / written,
    }


def _job(wats: Sequence[Path], package: Path, folder: Path) -> tuple[Cost, int, int]:
    """What the job cost, the rows it wrote, and the bytes that Spark's tasks wrote for a shuffle."""
    from pipeline.spark import java_home

    out, events = folder / "out", folder / "events"
    events.mkdir()
    settings = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.ui.enabled": "false",
    }
    submit = Path(sys.executable).with_name("spark-submit")
    options = [word for key, value in settings.items() for word in ("--conf", f"{key}={value}")]
    job = [str(REPOSITORY / "jobs" / "extract.py"), "--wat", *map(str, wats), "--out", str(out)]
    command = [str(submit), "--master", f"local[{_CORES}]", "--py-files", str(package), *options, *job]
    env = {"JAVA_HOME": java_home(), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    cost = cost_of(command, folder=folder, log=folder / "job.log", env=env)
    rows = json.loads((out / "_manifest.json").read_text())["counts"]["rows_out"]
    return cost, rows, sum(_shuffled_bytes(path) for path in events.iterdir())


def _shuffled_bytes(log: Path) -> int:
    with log.open() as lines:
        events = (json.loads(line) for line in lines if '"SparkListenerTaskEnd"' in line)
        return sum(event["Task Metrics"]["Shuffle Write Metrics"]["Shuffle Bytes Written"] for event in events)


def _bare_cpu_s(side: str, wats: Sequence[Path]) -> float:
    """CPU seconds of a side on all `wats`, one after the other in one process."""
    with Side(side, [sys.executable, "-m", "bench.extract_sides", side, *map(str, wats)], folder=REPOSITORY) as asked:
        return float(asked.run()["cpu_s"])


def _bare_at_once_cpu_s(wats: Sequence[Path]) -> float:
    """The bare parse in as many processes as the job has cores: what they cost each other (caches, memory) is not Spark's."""
    with ThreadPoolExecutor(_CORES) as threads:
        return sum(threads.map(_bare_cpu_s, ["ours"] * _CORES, [wats[core::_CORES] for core in range(_CORES)]))

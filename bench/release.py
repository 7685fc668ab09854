"""release on synthetic scores, two cores: rows/s, CPU seconds and bytes per row, straight and through Spark; what the sort gains.

`python -m bench.release` makes its input in bench/.cache, prints three tables and one JSON line, and writes the line to
bench/results/release.json where the sizes are the usual ones.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bench.measure import table
from bench.places import CACHE, REPOSITORY
from bench.release_rows import data_root
from bench.result import Figure, finish, result, versions
from bench.tree import cost_of
from pipeline.release import ReleaseConfig
from pipeline.release.data_files import write_data_file
from pipeline.release.rows import read_rows
from pipeline.release.source import find_source
from pipeline.release.survey import Survey

_ROWS, _FILE_ROWS, _CORES, _ASKED = 200_000, 50_000, 2, 20
_COLUMNS = ("url", "text", "domain", "page_url", "uid")


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    print(f"making {asked.rows:,} synthetic scored pairs", flush=True)
    root = data_root(asked.rows)
    with TemporaryDirectory(dir=CACHE) as scratch:
        here, spark, unsorted = (Path(scratch) / name for name in ("here", "spark", "unsorted"))
        runs = [_run("Arrow, one process", _here(root, here), here, asked.rows, Path(scratch))]
        runs.append(_run("Spark", _spark(root, spark), spark, asked.rows, Path(scratch)))
        print(table(runs), flush=True)
        equal = _sums(here) == _sums(spark)
        _write_in_score_order(root, here, unsorted)
        sizes = [_sizes("sorted", here / "data"), _sizes("in the scores' order", unsorted)]
        print(table(sizes), flush=True)
        found = [_asked("sorted", here / "data"), _asked("in the scores' order", unsorted)]
    print(table(found))
    figures = _figures(runs, sizes, found, asked.rows, equal)
    told = {"sizes": sizes, "lookups": found, "synthetic": {"rows": asked.rows, "file_rows": _FILE_ROWS, "cores": _CORES}}
    finish(
        result("release", figures, runs, **told, versions=versions("pyspark", "pyarrow", "numpy", "duckdb")),
        whole=asked.rows == _ROWS,
    )


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.release", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=_ROWS, help="synthetic scored pairs (200,000)")
    return parser


def _here(root: Path, out: Path) -> list[str]:
    words = ["release", "--root", str(root), "--out", str(out), "--file-rows", str(_FILE_ROWS)]
    return [sys.executable, "-m", "pipeline.cli", *words]


def _spark(root: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "bench.release_spark", str(root), str(out), str(_FILE_ROWS), str(_CORES)]


def _run(name: str, command: Sequence[str], out: Path, rows: int, scratch: Path) -> dict[str, Any]:
    """One release; seconds and CPU are those of all processes from start to end."""
    cores = sorted(os.sched_getaffinity(0))[-_CORES:]
    cost = cost_of(command, folder=REPOSITORY, log=scratch / "release.log", cores=cores)
    facts = json.loads((out / "data/_manifest.json").read_text())["facts"]["cost"]
    return {
        "way": name,
        "wall_s": cost.wall_s,
        "cpu_s": cost.total_s,
        "rows_per_s": rows / cost.wall_s,
        "cpu_s_per_million_rows": 1e6 * cost.total_s / rows,
        "shuffle_bytes_per_row": facts["shuffle_bytes"] / rows,
        "peak_rss_mb": cost.peak_rss_mb,
        "peak_all_mb": cost.peak_pss_mb,
    }


def _sums(out: Path) -> str:
    return (out / "SHA256SUMS").read_text()


def _write_in_score_order(root: Path, release: Path, folder: Path) -> None:
    """The same rows by the same writer, not sorted: what the sort is measured against."""
    source = find_source(ReleaseConfig(root=str(root), out=str(release)))
    folder.mkdir()
    tables = [
        one for number, each in enumerate(source.files) for one in read_rows(each, source, Survey(begins=()).repeats_of(number))
    ]
    rows = pa.concat_tables(tables)
    for number, start in enumerate(range(0, len(rows), _FILE_ROWS)):
        with (folder / f"{number:05d}.parquet").open("wb") as file:
            write_data_file(file, source.schema, [rows.slice(start, _FILE_ROWS)])


def _sizes(name: str, folder: Path) -> dict[str, Any]:
    """Bytes per row: of the files, and of single columns as they are stored."""
    metadata = [pq.read_metadata(path) for path in sorted(folder.glob("*.parquet"))]
    rows = sum(each.num_rows for each in metadata)
    stored: dict[str, int] = dict.fromkeys(_COLUMNS, 0)
    for each in metadata:
        for group in range(each.num_row_groups):
            for place in range(each.num_columns):
                column = each.row_group(group).column(place)
                if column.path_in_schema in stored:
                    stored[column.path_in_schema] += column.total_compressed_size
    total = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    return {"rows": name, "bytes_per_row": total / rows, **{f"{column}_bytes": size / rows for column, size in stored.items()}}


def _asked(name: str, folder: Path) -> dict[str, Any]:
    """What DuckDB needs to find single pairs and domains, and how many row groups statistics and bloom filters leave to read."""
    files = f"{folder}/*.parquet"
    connection = duckdb.connect()
    connection.sql("SET threads = 1")
    rows = connection.sql(
        f"SELECT uid, domain FROM '{files}' WHERE abs(hash(uid)) % 1000 = 0 ORDER BY uid LIMIT {_ASKED}"
    ).fetchall()
    groups = sum(pq.read_metadata(path).num_row_groups for path in folder.glob("*.parquet"))
    return {
        "rows": name,
        "uid_ms": _mean_ms(connection, files, "uid", [uid for uid, _ in rows]),
        "domain_ms": _mean_ms(connection, files, "domain", [domain for _, domain in rows]),
        "row_groups": groups,
        "groups_left_by_bloom": sum(_left_by_bloom(connection, files, uid) for uid, _ in rows) / len(rows),
        "groups_left_by_domain": sum(_left_by_statistics(folder, domain) for _, domain in rows) / len(rows),
    }


def _mean_ms(connection: Any, files: str, column: str, values: Sequence[str]) -> float:
    started = time.perf_counter()
    for value in values:
        connection.execute(f"SELECT * FROM '{files}' WHERE {column} = $1", [value]).fetchall()
    return 1e3 * (time.perf_counter() - started) / len(values)


def _left_by_bloom(connection: Any, files: str, uid: str) -> int:
    query = f"SELECT count(*) FROM parquet_bloom_probe('{files}', 'uid', '{uid}') WHERE NOT bloom_filter_excludes"
    return int(connection.sql(query).fetchall()[0][0])


def _left_by_statistics(folder: Path, domain: str) -> int:
    left = 0
    for path in folder.glob("*.parquet"):
        metadata = pq.read_metadata(path)
        place = metadata.schema.names.index("domain")
        for group in range(metadata.num_row_groups):
            bounds = metadata.row_group(group).column(place).statistics
            left += bounds.min <= domain <= bounds.max
    return left


def _figures(
    runs: Sequence[dict[str, Any]], sizes: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]], rows: int, equal: bool
) -> list[Figure]:
    here, spark = runs
    return [
        Figure(
            key="rows_per_s", value=here["rows_per_s"], meaning="rows per second of a whole release on two cores, without Spark"
        ),
        Figure(key="cpu_us_per_row", value=1e6 * here["cpu_s"] / rows, meaning="CPU µs per row, without Spark, start included"),
        Figure(key="spark_rows_per_s", value=spark["rows_per_s"], meaning="the same through Spark, its start included"),
        Figure(
            key="spark_cpu_us_per_row", value=1e6 * spark["cpu_s"] / rows, meaning="CPU µs per row through Spark, all processes"
        ),
        Figure(
            key="spark_shuffle_bytes_per_row",
            value=spark["shuffle_bytes_per_row"],
            meaning="bytes of rows written to the shuffle per row, by Spark's count",
        ),
        Figure(key="equal", value=equal, meaning="whether both ways gave the same bytes, checksum by checksum"),
        Figure(key="bytes_per_row", value=sizes[0]["bytes_per_row"], meaning="bytes of parquet per row of the release"),
        Figure(
            key="sort_size_x",
            value=sizes[1]["bytes_per_row"] / sizes[0]["bytes_per_row"],
            meaning="size of the same rows in the scores' order ÷ size of the release",
        ),
        Figure(
            key="sort_domain_x",
            value=found[1]["domain_ms"] / found[0]["domain_ms"],
            meaning="DuckDB's time for a domain's rows in the scores' order ÷ in the release",
        ),
        Figure(
            key="uid_ms", value=found[0]["uid_ms"], meaning="DuckDB's time for a row by its uid in the release, one thread, ms"
        ),
        Figure(key="peak_rss_mb", value=here["peak_rss_mb"], meaning="peak memory without Spark, MB"),
    ]


if __name__ == "__main__":
    main()

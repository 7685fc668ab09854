"""extract beside cc2dataset and beside decompression alone, on one core; peak memory; what Spark adds.

Makes its inputs and cc2dataset's environment in bench/.cache, prints a table and one JSON line, and writes the line to
bench/results/extract.json where everything was measured.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.child import Side
from bench.extract_rows import comparison
from bench.extract_sides import SIDES
from bench.extract_spark import overhead
from bench.measure import cpu_s, interleaved, one_core, ratio, table
from bench.peer import environment, versions_in
from bench.places import REPOSITORY, shared
from bench.result import Figure, finish, result, versions
from bench.wat import copied_wat

OURS, WRITTEN, INFLATE, PEER = "ours", "ours, parquet written", "decompression alone", "cc2dataset"
_PEER_PACKAGES = ("fastwarc==2.0.1", "pysimdjson==7.0.2", "fsspec==2026.9.0", "loguru")
_COPIES, _ROUNDS_AT_LEAST = 8, 5  # a run with other inputs or fewer rounds is not committed
_BIG_WAT_BYTES = 1_500_000_000  # uncompressed, as Common Crawl's are
_OUR_LIBRARIES = ("numpy", "numba", "deflate", "orjson", "pyarrow", "pyspark")

Answers = Mapping[str, Sequence[Mapping[str, Any]]]


def main() -> None:
    """Measure what the options ask for."""
    asked = _options().parse_args()
    source = shared("wat", "bench_base.warc.wat.gz")
    wat = copied_wat(source, asked.copies)
    # It imports Spark at its top; its parse does not use it.
    python = environment("cc2dataset", alone=("cc2dataset==1.5.0",), packages=_PEER_PACKAGES, linked=("pyspark", "py4j"))
    rows = comparison(wat, python)
    print("rows:", ", ".join(f"{name} {count:,}" for name, count in rows.items()), flush=True)
    cold, answers = _measure(wat, python, asked.rounds)
    figures, measured = _figures(answers), _measured(answers, wat)
    print(table(measured))
    if rows["only_ours"] or rows["only_cc2dataset"]:
        print("WARNING: the rows differ beyond what is meant")
    spark = [] if asked.skip_spark else overhead(_big_wat(source), sorted(asked.spark_wats), first=source)
    figures += _spark_figures(spark) if spark else []
    figures += [] if asked.skip_memory else _on_a_big_wat(source)
    figures += [Figure(key="rows_equal", value=not (rows["only_ours"] or rows["only_cc2dataset"]), meaning=_ROWS_EQUAL)]
    found = result("extract", figures, measured, rows=rows, cold=cold, spark=spark, versions=_versions(python))
    finish(found, whole=not (asked.skip_spark or asked.skip_memory or asked.rounds < _ROUNDS_AT_LEAST or asked.copies != _COPIES))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.extract", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=_at_least_one, default=7, help="how often each side runs, in turn (7)")
    parser.add_argument(
        "--copies", type=_at_least_one, default=_COPIES, help="copies of the real pages in the bench WAT (8: 370 MB)"
    )
    parser.add_argument(
        "--spark-wats", type=_at_least_one, nargs=2, default=[8, 32], metavar="N", help="WATs of 1.5 GB of the two jobs (8 32)"
    )
    parser.add_argument("--skip-spark", action="store_true", help="do not measure what Spark adds")
    parser.add_argument("--skip-memory", action="store_true", help="do not extract a WAT of 1.5 GB")
    return parser


def _at_least_one(word: str) -> int:
    if not (word.isdecimal() and int(word) >= 1):
        raise argparse.ArgumentTypeError(f"{word!r}: must be 1 or more")
    return int(word)


def _measure(wat: Path, python: Path, rounds: int) -> tuple[dict[str, float], Answers]:
    """CPU seconds of each side's process from its start to the end of its first run, and the answers of the rounds after it."""
    core = one_core()
    with ExitStack() as stack:
        sides = [stack.enter_context(_side(name, wat, python if name == PEER else None, core)) for name in SIDES]
        print(f"all on core {core}; first run of each, not counted", flush=True)
        cold = {side.name: side.run()["process_cpu_s"] for side in sides}
        answers = interleaved(sides, rounds)
    cold[f"{OURS}, nothing compiled yet"] = _compiling(wat, core)
    print("CPU s of a process that does one WAT:", ", ".join(f"{name} {s:.2f}" for name, s in cold.items()), flush=True)
    return cold, answers


def _side(name: str, wat: Path, python: Path | None = None, core: int | None = None, **env: str) -> Side:
    command = [str(python or sys.executable), "-m", "bench.extract_sides", name, str(wat)]
    return Side(name, command, folder=REPOSITORY, cpu=core, env=env)


def _compiling(wat: Path, core: int) -> float:
    """CPU seconds of one WAT in a process that finds no compiled code of an earlier one."""
    with TemporaryDirectory() as empty, _side(OURS, wat, core=core, NUMBA_CACHE_DIR=empty) as side:
        return float(side.run()["process_cpu_s"])


def _big_wat(source: Path) -> Path:
    """A WAT as large as Common Crawl's."""
    with _side(INFLATE, source) as side:
        copies = math.ceil(_BIG_WAT_BYTES / side.run()["bytes"])
    return copied_wat(source, copies)


def _on_a_big_wat(source: Path) -> list[Figure]:
    """What a fresh process needs that does the stage's work on a WAT as large as Common Crawl's."""
    with _side(WRITTEN, _big_wat(source)) as side:
        answer = side.run()
    print(
        f"WAT of 1.5 GB: {answer['rows']:,} rows, {answer['cpu_s']:.1f} CPU s, peak RSS {answer['peak_rss_mb']:.0f} MB",
        flush=True,
    )
    return [
        Figure(
            key="peak_rss_mb_1500mb_wat",
            value=answer["peak_rss_mb"],
            meaning="most memory of a process that extracts a WAT of 1.5 GB (uncompressed) to parquet, 10^6 bytes",
        ),
        Figure(key="cpu_s_1500mb_wat", value=answer["cpu_s"], meaning="its CPU seconds, after the imports; smaller is better"),
    ]


def _figures(answers: Answers) -> list[Figure]:
    x, times = ratio(answers[PEER], answers[OURS]), ratio(answers[OURS], answers[INFLATE])
    inflated_mb = answers[INFLATE][0]["bytes"] / 1e6
    spread = "median over rounds, {0.least:.2f} to {0.most:.2f}"
    of_cc2dataset = (
        f"CPU time of cc2dataset's parse ÷ ours, all columns of candidates filled ({spread.format(x)}); bigger is better"
    )
    of_inflate = f"CPU time of ours ÷ decompression alone ({spread.format(times)}); smaller is better"
    return [
        Figure(key="x_cc2dataset", value=x.median, meaning=of_cc2dataset),
        Figure(key="times_inflate", value=times.median, meaning=of_inflate),
        Figure(
            key="mb_per_s", value=inflated_mb / cpu_s(answers[OURS]).median, meaning="uncompressed WAT, 10^6 bytes per CPU second"
        ),
        Figure(
            key="x_cc2dataset_parquet_written",
            value=ratio(answers[PEER], answers[WRITTEN]).median,
            meaning="the same ratio where ours writes its parquet file too, cc2dataset nothing",
        ),
    ]


def _measured(answers: Answers, wat: Path) -> list[dict[str, Any]]:
    inflated_mb = answers[INFLATE][0]["bytes"] / 1e6
    rows = []
    for name, runs in answers.items():
        cost = cpu_s(runs)
        rows.append(
            {
                "side": name,
                "CPU s": cost.median,
                "least": cost.least,
                "most": cost.most,
                "MB/s": inflated_mb / cost.median,
                "× cc2dataset": ratio(answers[PEER], runs).median,
                "× decompression": ratio(runs, answers[INFLATE]).median,
                "rows": runs[-1].get("rows", ""),
                "peak RSS MB": runs[-1]["peak_rss_mb"],
            }
        )
    return rows


def _spark_figures(spark: Sequence[Mapping[str, Any]]) -> list[Figure]:
    small, large = spark[0], spark[-1]
    more = large["wats"] - small["wats"] or 1
    job, bare = (large["job_cpu_s"] - small["job_cpu_s"]) / more, (large["bare_cpu_s"] - small["bare_cpu_s"]) / more
    n = large["wats"]
    return [
        Figure(
            key="spark_overhead",
            value=large["overhead"],
            meaning="CPU time of the whole job on local[2] (JVM, driver, workers, parquet written) ÷ the bare parse of the same "
            f"{n} WATs of 1.5 GB in one process, nothing written; smaller is better",
        ),
        Figure(
            key="spark_overhead_parquet_written",
            value=large["overhead_written"],
            meaning="the same where the one process writes its parquet files too",
        ),
        Figure(
            key="spark_overhead_marginal",
            value=job / bare,
            meaning="the same as spark_overhead for one more WAT: what a long job pays",
        ),
        Figure(
            key="spark_fixed_cpu_s",
            value=small["job_cpu_s"] - small["wats"] * job,
            meaning="CPU seconds of the job that do not grow with its WATs",
        ),
        Figure(
            key="spark_rows_per_s",
            value=large["rows_per_s"],
            meaning=f"rows written per second by the job of {n} WATs of 1.5 GB, two cores",
        ),
        Figure(
            key="shuffled_bytes_per_row",
            value=large["shuffled_bytes"] / large["rows"],
            meaning="bytes that Spark's tasks wrote for a shuffle ÷ rows: a WAT is deduplicated in its own task",
        ),
    ]


def _versions(python: Path) -> dict[str, str]:
    return {**versions(*_OUR_LIBRARIES), **versions_in(python, "cc2dataset", "fastwarc", "pysimdjson")}


_ROWS_EQUAL = "whether ours and cc2dataset's rows are the same set of uid, url and text after the differences that are meant"

if __name__ == "__main__":
    main()

"""Skew: one WAT with 100 times the rows of the others, one host with half of all URLs, one alt text on a tenth of the rows.

`python -m bench.skew` makes its inputs, runs extract and pool on two workers, and prints for each the largest task ÷ the median
one, in rows, seconds and peak memory, and one JSON line, which it writes to bench/results/skew.json at the usual sizes.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.measure import cell, table
from bench.places import CACHE, REPOSITORY
from bench.result import Figure, finish, result, versions
from bench.skew_rows import write_candidates, write_wats
from bench.tree import cost_of

_ROWS, _SMALL_WATS, _TIMES, _FILES, _WORKERS = 200_000, 20, 100, 10, 2
_PARTITIONS = 16
_WAT = f"one WAT with {_TIMES} times the rows"
_HOST, _TEXT, _EVEN = "one host with half of all URLs", "one text on a tenth of the rows", "none"


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    with TemporaryDirectory(dir=CACHE, prefix="skew-") as scratch:
        place = Path(scratch)
        print(f"making synthetic inputs of {asked.rows:,} rows", flush=True)
        write_wats(place / "wats", asked.rows, small=_SMALL_WATS, times=_TIMES)
        write_candidates(place / "host", asked.rows, files=_FILES, of_one_host=0.5)
        write_candidates(place / "text", asked.rows, files=_FILES, of_one_text=0.1)
        write_candidates(place / "even", asked.rows, files=_FILES)
        runs = [
            _extract(place),
            _pool(place, "candidates", _WAT, "uid"),
            _pool(place, "host", _HOST, "uid"),
            _pool(place, "text", _TEXT, "uid"),
            _pool(place, "text", _TEXT, "text"),
            _pool(place, "even", _EVEN, "text"),
        ]
    print(table(runs))
    sizes = {"rows": asked.rows, "small_wats": _SMALL_WATS, "files": _FILES, "workers": _WORKERS, "partitions": _PARTITIONS}
    found = result("skew", _figures(runs), runs, synthetic=sizes, versions=versions("pyspark", "pyarrow", "numpy", "numba"))
    finish(found, whole=asked.rows == _ROWS)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.skew", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=_ROWS, help="synthetic rows of each input (200,000)")
    return parser


def _extract(place: Path) -> dict[str, Any]:
    words = ["extract", "--wat", str(place / "wats"), "--out", str(place / "candidates")]
    return _run(place, words, _WAT, "extract")


def _pool(place: Path, name: str, skew: str, dedup: str) -> dict[str, Any]:
    out = place / f"pool-{name}-{dedup}"
    words = ["pool", "--candidates", str(place / name), "--out", str(out), "--dedup", dedup]
    words += ["--partitions", str(_PARTITIONS)]
    return _run(place, words, skew, f"pool --dedup {dedup}")


def _run(place: Path, words: Sequence[str], skew: str, stage: str) -> dict[str, Any]:
    """One stage: of its parts' reports, the largest against the median."""
    command = [sys.executable, "-m", "pipeline.cli", *words, "--workers", str(_WORKERS)]
    cost = cost_of(command, folder=REPOSITORY, log=place / "log")
    out = Path(words[words.index("--out") + 1])
    parts = [json.loads(path.read_bytes()) for path in sorted((out / "_parts").glob("*.json"))]
    rows = [_rows(part["counts"]) for part in parts]
    told = {"rows": rows, "s": [part["duration_s"] for part in parts], "mb": [part["peak_rss_bytes"] / 1e6 for part in parts]}
    found: dict[str, Any] = {"skew": skew, "stage": stage, "tasks": len(parts)}
    for name, values in told.items():
        found |= {f"{name}_median": statistics.median(values), f"{name}_most": max(values)}
        found[f"{name}_x"] = max(values) / max(statistics.median(values), 1e-3)
    found |= {"wall_s": cost.wall_s, "cpu_s": cost.total_s}
    print(", ".join(f"{name} {cell(value)}" for name, value in found.items()), flush=True)
    return found


def _rows(counts: dict[str, int]) -> int:
    """The rows that came to a task: what it wrote and what it dropped as a copy or an opt-out."""
    return counts["rows_out"] + sum(
        count for name, count in counts.items() if name.startswith(("dropped_duplicate", "dropped_opt_out"))
    )


def _figures(runs: Sequence[dict[str, Any]]) -> list[Figure]:
    extract, _, host, uid, text, even = runs
    return [
        Figure(
            key="extract_us_per_row_x",
            value=(extract["s_most"] / extract["rows_most"]) / (extract["s_median"] / extract["rows_median"]),
            meaning="seconds per row of the WAT with 100 times the rows ÷ those of a median one (smaller is better)",
        ),
        Figure(
            key="extract_rss_x",
            value=extract["mb_x"],
            meaning="peak memory of the task with that WAT ÷ a median one (smaller is better)",
        ),
        Figure(key="pool_host_rows_x", value=host["rows_x"], meaning="largest bucket ÷ median, half of all URLs on one host"),
        Figure(key="pool_uid_rows_x", value=uid["rows_x"], meaning="largest bucket ÷ median, one text on a tenth, --dedup uid"),
        Figure(key="pool_text_rows_x", value=text["rows_x"], meaning="the same, --dedup text: all its rows meet in one bucket"),
        Figure(key="pool_text_s_x", value=text["s_x"], meaning="its seconds ÷ those of a median one"),
        Figure(
            key="pool_text_rss_x",
            value=text["mb_most"] / even["mb_most"],
            meaning="largest peak memory of a task with that text ÷ the largest without any skew",
        ),
        Figure(
            key="pool_text_wall_x", value=text["wall_s"] / even["wall_s"], meaning="seconds of the whole pool ÷ without any skew"
        ),
    ]


if __name__ == "__main__":
    main()

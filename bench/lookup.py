"""lookup in a release of ten million synthetic rows: seconds of the whole command, cold and warm, for each kind of question.

`python -m bench.lookup` makes the release in bench/.cache once (2 GB, some minutes), asks, prints a table and one JSON line, and
writes the line to bench/results/lookup.json where the size is the usual one. Cold: the kernel is told to forget every file of
the release before the command starts; Python and its packages stay in memory. Warm: the question was asked just before.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from bench.lookup_release import release_of, sites_of
from bench.measure import Spread, table
from bench.places import REPOSITORY
from bench.result import Figure, finish, result, versions

_ROWS, _ROUNDS = 10_000_000, 7
_PAGE_OF_ELSEWHERE = "https://www.nowhere.example/a/b.html"


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    folder = release_of(asked.rows, asked.processes)
    measured = [_measured(what, folder, words, asked.rounds) for what, words in _questions(folder, asked.rows).items()]
    print(table(measured))
    size_gb = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9
    sizes = {"rows": asked.rows, "size_gb": size_gb, "rounds": asked.rounds}
    found = result("lookup", _figures(measured), measured, synthetic=sizes, versions=versions("duckdb"))
    finish(found, whole=(asked.rows, asked.rounds) == (_ROWS, _ROUNDS))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.lookup", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=_ROWS, help=f"of the synthetic release ({_ROWS:,})")
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS, help=f"how often each question is asked, cold and warm ({_ROUNDS})"
    )
    parser.add_argument("--processes", type=int, default=3, help="that make the release (3)")
    return parser


def _questions(folder: Path, rows: int) -> dict[str, list[str]]:
    """Words of the command by what is asked."""
    sites = sites_of(rows)
    largest = sites.names[sites.largest]
    row = rows // 2 + 12_345
    pairs = duckdb.read_parquet(str(folder / "data" / "*.parquet"), file_row_number=True)
    uid, url, page, domain = pairs.limit(1, row).project("uid, url, page_url, domain").fetchall()[0]
    return {
        "uid": [uid],
        "uid that is not there": ["0" * 32],
        "URL of an image": [url],
        "URL in another spelling": [url.replace("https://", "HTTP://").replace("/media/", "/%6Dedia/")],
        "URL that is not there": [f"{url}.gone"],
        "URL of a page": [page],
        "domain": [domain],
        "domain with 5 % of all rows": [largest],
        "host below that": [f"a.img.{largest}"],
        "domain that is not there": ["nowhere.example"],
        "uid, --copies": [uid, "--copies"],
        "page elsewhere, --pages": [_PAGE_OF_ELSEWHERE, "--pages"],
        "domain, --pages": [domain, "--pages"],
    }


def _measured(what: str, folder: Path, words: Sequence[str], rounds: int) -> dict[str, Any]:
    """A line of the table: medians, and the worst of the rounds."""
    cold, warm, cpu_s, found = [], [], [], ""
    for _ in range(rounds):
        _forget(folder)
        cold.append(_asked(folder, words)[0])
        wall_s, spent_s, found = _asked(folder, words)
        warm.append(wall_s)
        cpu_s.append(spent_s)
    line = {
        "asked": what,
        "cold_s": Spread.of(cold).median,
        "warm_s": Spread.of(warm).median,
        "cold_worst_s": max(cold),
        "warm_worst_s": max(warm),
        "cpu_s": Spread.of(cpu_s).median,
        "told": found,
    }
    print(line, flush=True)
    return line


def _asked(folder: Path, words: Sequence[str]) -> tuple[float, float, str]:
    """Seconds on the clock and of the CPU from start to end of `webpairs lookup`, and what it says that it found."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-m", "pipeline.cli", "lookup", str(folder), *words]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    told = next(line for line in ran.stdout.splitlines() if line.startswith("found: "))
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, told.removeprefix("found: ").split(";")[0]


def _forget(folder: Path) -> None:
    """Have the kernel drop what it keeps in memory of the release's files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _figures(measured: Sequence[dict[str, Any]]) -> list[Figure]:
    plain = [line for line in measured if "--" not in line["asked"]]
    pages = next(line for line in measured if line["asked"] == "page elsewhere, --pages")
    copies = next(line for line in measured if line["asked"] == "uid, --copies")
    return [
        Figure(
            key="cold_s",
            value=max(line["cold_s"] for line in plain),
            meaning="slowest kind of question, median, files not in memory, s",
        ),
        Figure(
            key="warm_s",
            value=max(line["warm_s"] for line in plain),
            meaning="slowest kind of question, median, files in memory, s",
        ),
        Figure(key="under_a_second", value=max(line["cold_s"] for line in plain) < 1, meaning="every kind, cold, by its median"),
        Figure(key="copies_s", value=copies["cold_s"], meaning="a uid with --copies, cold, median, s"),
        Figure(
            key="pages_s", value=pages["cold_s"], meaning="an address with --pages (all of page_url is read), cold, median, s"
        ),
    ]


if __name__ == "__main__":
    main()

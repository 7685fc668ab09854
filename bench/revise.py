"""revise on a synthetic release of a million rows, one process: seconds and CPU seconds by kind of list, files left untouched.

`python -m bench.revise` makes its inputs in bench/.cache, prints a table and one JSON line, and writes the line to
bench/results/revise.json where the sizes are the usual ones.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq

from bench.measure import table
from bench.places import CACHE, REPOSITORY
from bench.result import Figure, finish, result, versions
from bench.revise_rows import KINDS, release, removal_list
from bench.tree import Cost, cost_of

_ROWS, _FILES, _ENTRIES = 1_000_000, 10, 10_000


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    print(f"a synthetic release of {asked.rows:,} rows in {_FILES} files; lists of {asked.entries:,} entries each", flush=True)
    old = release(asked.rows, _FILES)
    rows = pq.read_table(old / "data", columns=["uid", "url", "domain", "sha256", "phash"])
    with TemporaryDirectory(dir=CACHE) as scratch:
        folder = Path(scratch)
        lists = {kind: removal_list(rows, kind, asked.entries, folder / f"{kind}.txt") for kind in KINDS}
        lists["one domain"] = folder / "one domain.txt"
        lists["one domain"].write_text(f"{rows['domain'][int(asked.rows * 0.525)].as_py()}\n")
        runs = [_revised(old, kind, [path], folder) for kind, path in lists.items()]
        everything = [str(path) for path in lists.values()]
        runs.append(_revised(old, "all of these", [lists[kind] for kind in KINDS], folder, keep=True))
        runs.append(_verified(folder / "next", old, everything[:-1], folder))
    print(table(runs))
    sizes = {"rows": asked.rows, "files": _FILES, "entries": asked.entries, "processes": 1}
    found = result("revise", _figures(runs, asked.rows), runs, synthetic=sizes, versions=versions("pyarrow", "numpy", "numba"))
    finish(found, whole=(asked.rows, asked.entries) == (_ROWS, _ENTRIES))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.revise", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rows", type=int, default=_ROWS, help="rows of the synthetic release (1,000,000)")
    parser.add_argument("--entries", type=int, default=_ENTRIES, help="entries of each list (10,000)")
    return parser


def _revised(old: Path, kind: str, lists: Sequence[Path], folder: Path, *, keep: bool = False) -> dict[str, Any]:
    """One revision, by lists of that kind."""
    out = folder / "next"
    cost = _cost(["revise", str(old), "--remove", *map(str, lists), "--out", str(out)], folder / "log")
    told = json.loads((out / "release.json").read_text())
    kept = sum((out / name).stat().st_ino == (old / name).stat().st_ino for name in told["data"])
    if not keep:
        shutil.rmtree(out)
    return _line(f"revise, by {kind}", cost, removed=told["removed"][-1]["rows"], kept=kept)


def _verified(new: Path, old: Path, lists: Sequence[str], folder: Path) -> dict[str, Any]:
    cost = _cost(["revise", str(new), "--verify", "--parent", str(old), "--remove", *lists], folder / "log")
    return _line("verify, all of these, and against the parent", cost, removed=0, kept=_FILES)


def _cost(words: Sequence[str], log: Path) -> Cost:
    return cost_of([sys.executable, "-m", "pipeline.cli", *words], folder=REPOSITORY, log=log)


def _line(what: str, cost: Cost, *, removed: int, kept: int) -> dict[str, Any]:
    return {
        "what": what,
        "rows_removed": removed,
        "files_untouched": kept,
        "wall_s": cost.wall_s,
        "cpu_s": cost.total_s,
        "peak_rss_mb": cost.peak_rss_mb,
    }


def _figures(runs: Sequence[dict[str, Any]], rows: int) -> list[Figure]:
    *kinds, domain, every, verified = runs
    return [
        *(
            Figure(
                key=f"{kind}_cpu_us_per_row",
                value=1e6 * run["cpu_s"] / rows,
                meaning=f"CPU µs per row of a revision by a list of {kind} entries, start and checksums included",
            )
            for kind, run in zip(KINDS, kinds, strict=True)
        ),
        Figure(
            key="all_cpu_us_per_row", value=1e6 * every["cpu_s"] / rows, meaning="the same by six lists at once, one of each kind"
        ),
        Figure(
            key="verify_cpu_us_per_row",
            value=1e6 * verified["cpu_s"] / rows,
            meaning="CPU µs per row of --verify by those six lists, with --parent",
        ),
        Figure(
            key="untouched_by_one_domain",
            value=domain["files_untouched"] / _FILES,
            meaning="share of data files that are bit for bit the old ones when one domain goes (bigger is better)",
        ),
        Figure(key="peak_rss_mb", value=max(run["peak_rss_mb"] for run in runs), meaning="largest process of any of these, MB"),
    ]


if __name__ == "__main__":
    main()

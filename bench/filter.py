"""filter beside DataComp's own scripts, on the same metadata and cores: CPU, memory, the same bytes; then up to 12.8M rows.

Makes metadata and DataComp's environment in bench/.cache, prints a table and one JSON line, and writes the line to
bench/results/filter.json where everything was measured.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.filter_figures import Answers, Runs, figures_of, figures_of_large, identical, rows_of
from bench.filter_pool import ROWS_PER_FILE, embedded_pool, first_files, large_pool, pool
from bench.filter_sides import (
    OURS,
    WORKERS,
    WORKLOADS,
    Assets,
    Contender,
    Place,
    Workload,
    datacomp,
    once,
    python_of_datacomp,
    rounds_of,
    webpairs,
)
from bench.measure import table
from bench.peer import versions_in
from bench.places import CACHE, shared
from bench.result import finish, result, versions

_FILES, _ROUNDS_AT_LEAST = 100, 3  # a run with other inputs or fewer rounds is not committed
_LARGE_FILES = (160, 320, 640, 1280)
_LARGE = ("clip_score", "basic")
_OUR_LIBRARIES = ("numpy", "numba", "pyarrow", "fasttext-predict", "cld3-py", "nltk")
_THEIRS = ("torch", "numpy", "pandas", "pyarrow", "fasttext-wheel", "cld3-py", "nltk")


def main() -> None:
    """Measure what the options ask for."""
    asked = _options().parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[-WORKERS:])
    assets = Assets(asked.assets or shared("datacomp", "assets"))
    small, embedded = pool(asked.files, assets.wordnet), embedded_pool(assets.wordnet)
    sides = [webpairs(assets), datacomp(assets, asked.datacomp)]
    found: dict[str, Answers] = {}
    large: Mapping[str, Runs] = {}
    with TemporaryDirectory(dir=CACHE, prefix="filter-") as scratch:
        place = Place(scratch=Path(scratch), cores=cores)
        for name in asked.only or WORKLOADS:
            found[name] = _measure(sides, WORKLOADS[name], embedded if WORKLOADS[name].embedded else small, place, asked.rounds)
        if asked.large:
            large = _grow(sides[0], small, place)
    measured = [row for name, answers in found.items() for row in rows_of(name, answers)]
    measured += [row for name, runs in large.items() for run in runs for row in rows_of(f"{name}, larger", {OURS: [run]})]
    print(table(measured))
    figures = figures_of(found) + (figures_of_large(large) if large else [])
    more = {"assets": assets.said(), "cores_used": len(cores), "workers": WORKERS}
    said = result("filter", figures, measured, rounds=asked.rounds, **more, versions=_versions())
    finish(said, whole=asked.rounds >= _ROUNDS_AT_LEAST and asked.files == _FILES and asked.large and not asked.only)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.filter", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--rounds", type=int, default=_ROUNDS_AT_LEAST, help="how often each side runs, in turn (3; text_based 1)"
    )
    parser.add_argument("--files", type=int, default=_FILES, help=f"metadata files of {ROWS_PER_FILE:,} rows ({_FILES})")
    parser.add_argument("--only", choices=WORKLOADS, nargs="+", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)} these alone")
    parser.add_argument(
        "--large", action=argparse.BooleanOptionalAction, default=True, help="measure ours on 1.6 to 12.8 million rows, too (yes)"
    )
    parser.add_argument(
        "--assets", type=Path, metavar="DIR", help="files that DataComp's filters download (those of the real data: stand-ins)"
    )
    parser.add_argument("--datacomp", type=Path, metavar="DIR", help="a checkout of DataComp (else it is cloned from GitHub)")
    return parser


def _measure(
    sides: Sequence[Contender], workload: Workload, metadata: Path, place: Place, rounds: int
) -> dict[str, list[dict[str, Any]]]:
    print(f"{workload.name}: on cores {sorted(place.cores)}, after a run of each that is not counted", flush=True)
    for side in sides:
        once(side, workload, first_files(metadata, 1), place)
    answers = rounds_of(sides, workload, metadata, place, 1 if workload.once else rounds)
    if not identical(answers):
        print(f"WARNING: {workload.name}: the sides wrote different subsets")
    return answers


def _grow(side: Contender, small: Path, place: Place) -> dict[str, list[dict[str, Any]]]:
    whole = large_pool(_LARGE_FILES[-1], small)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in _LARGE}
    for files in _LARGE_FILES:
        metadata = first_files(whole, files)
        for name in _LARGE:
            run = once(side, WORKLOADS[name], metadata, place)
            found[name].append(run)
            print(f"  {run['rows']:,} rows, {name}: {run['cpu_s']:.1f} CPU s, {run['pss_mb']:.0f} MB (PSS)", flush=True)
    return found


def _versions() -> dict[str, str]:
    theirs = versions_in(python_of_datacomp(), *_THEIRS)
    return {**versions(*_OUR_LIBRARIES), **{f"DataComp's {name}": version for name, version in theirs.items()}}


if __name__ == "__main__":
    main()

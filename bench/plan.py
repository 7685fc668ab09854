"""What a row costs where no other benchmark says it: bytes of tables and tars, CPU of failed URLs, reshard and release, requests.

`python -m bench.plan` makes its inputs in bench/.cache, runs the commands once each on local folders (five minutes), prints two
tables and one JSON line, and writes the line to bench/results/plan.json. `webpairs plan` computes with these figures; bytes are
exact, CPU seconds are of one run.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bench.download_corpus import CORPORA
from bench.measure import table
from bench.places import CACHE, RESULTS, shared
from bench.plan_pictures import PICTURE_SIZES, stored
from bench.plan_release import release_figures
from bench.plan_rows import candidates_figures, pool_figures
from bench.plan_shards import download_figures, reshard_figures, score_figures
from bench.plan_store import store_figures
from bench.result import Figure, finish, result, versions

_LIBRARIES = ("pyspark", "pyarrow", "numpy", "pycurl", "s3fs", "moto", "simplejpeg", "opencv-python-headless")
_STEPS = ("pictures", "rows", "shards", "release", "store")


def main() -> None:
    """Measure."""
    asked = _options().parse_args()
    steps = asked.only or _STEPS
    figures: list[Figure] = []
    pictures: list[dict[str, Any]] = []
    with TemporaryDirectory(dir=CACHE, prefix="plan-") as name:
        root = Path(name)
        if "pictures" in steps:
            pictures = [stored(corpus, size) for corpus in CORPORA for size in PICTURE_SIZES]
            print(table(pictures), flush=True)
        if {*steps} - {"pictures"}:
            figures += candidates_figures(shared("wat", "bench_base.warc.wat.gz"), root)
            figures += pool_figures(root)
        if {"shards", "release"} & {*steps}:
            figures += download_figures(root) + score_figures(root) + reshard_figures(root)
        if "release" in steps:
            figures += release_figures(root)
        if "store" in steps:
            figures += store_figures(shared("wat", "small.warc.wat.gz"), root)
    print(table([{"key": figure.key, "value": figure.value, "what": figure.meaning} for figure in figures]))
    found = result("plan", figures, pictures, versions=versions(*_LIBRARIES))
    finish(_added(found) if asked.only else found, whole=True)


def _added(found: dict[str, Any]) -> dict[str, Any]:
    """The result that stands with these figures in the place of its own."""
    standing = json.loads((RESULTS / "plan.json").read_text())
    meaning = {**standing["meaning"], **found["meaning"]}
    measured = found["measured"] or standing["measured"]
    return {**standing, **found, "meaning": meaning, "measured": measured, "command": standing["command"]}


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.plan", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--only", choices=_STEPS, nargs="+", metavar="STEP", help=f"of {', '.join(_STEPS)} these, for the result that stands"
    )
    return parser


if __name__ == "__main__":
    main()

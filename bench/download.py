"""download beside img2dataset with DataComp's settings: CPU per image over HTTP and HTTPS, memory, quality; what Spark adds.

Makes two corpora of synthetic pictures and img2dataset's environment in bench/.cache, serves them by nginx on loopback, prints
tables and one JSON line, and writes the line to bench/results/download.json where everything was measured.
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from bench.download_corpus import CORPORA, facts_of, folder_of
from bench.download_pool import write_pool
from bench.download_quality import quality
from bench.download_sides import Contender, Place, img2dataset, rounds_of, two_cores, webpairs
from bench.download_spark import overhead
from bench.measure import Spread, ratio, table
from bench.nginx import nginx
from bench.peer import environment, versions_in
from bench.places import CACHE
from bench.result import Figure, finish, result, versions

OURS, REENCODED, PEER, PEER_CACHED = "ours", "ours, --reencode", "img2dataset", "img2dataset, one SSL context"
_FEW = 40  # URLs of the runs that are subtracted
_URLS, _ROUNDS_AT_LEAST, _SPARK_URLS = 4000, 3, [4000, 32_000]  # less is not committed
_OUR_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pycurl", "pyarrow", "pyspark")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A corpus over a scheme; `ratios` has for each key what it says, the side above the line and the side below."""

    corpus: str
    scheme: str
    ratios: Mapping[str, tuple[str, str, str]]

    @property
    def sides(self) -> list[str]:
        """Each side once, ours first."""
        return sorted({side for _, *both in self.ratios.values() for side in both}, key=_SIDES.index)


_SIDES = (OURS, REENCODED, PEER, PEER_CACHED)
_DENSE, _LAION = "dense (median 100 KB, long side about 800 px)", "LAION-sized (74 % at most 512 px)"
_SHIPPED = "img2dataset as shipped on Python 3.11 (an SSL context per request)"
_CACHED = "img2dataset with one SSL context per process, as Python 3.12 and later make it"
WORKLOADS = {
    "http_dense": Workload(corpus="dense", scheme="http", ratios={"http_dense_x": (f"HTTP, {_DENSE}", PEER, OURS)}),
    "http_laion": Workload(
        corpus="laion",
        scheme="http",
        ratios={
            "http_laion_x": (f"HTTP, {_LAION}, small JPEGs stored as served", PEER, OURS),
            "http_laion_reencoded_x": (f"HTTP, {_LAION}, every picture encoded anew on both sides", PEER, REENCODED),
        },
    ),
    "https": Workload(
        corpus="dense",
        scheme="https",
        ratios={
            "https_x": (f"HTTPS, dense, {_SHIPPED}", PEER, OURS),
            "https_cached_x": (f"HTTPS, dense, {_CACHED}", PEER_CACHED, OURS),
        },
    ),
}


@dataclass(kw_only=True)
class Found:
    """What was measured: answers by workload and side, quality by corpus, what Spark cost by number of URLs."""

    answers: dict[str, Mapping[str, list[dict[str, Any]]]] = field(default_factory=dict)
    quality: dict[str, dict[str, float]] = field(default_factory=dict)
    spark: list[dict[str, Any]] = field(default_factory=list)


def main() -> None:
    """Measure what the options ask for."""
    asked = _options().parse_args()
    python = environment("img2dataset", packages=("img2dataset==1.47.0",))
    folders = {corpus: folder_of(corpus) for corpus in CORPORA}
    corpora = {corpus: facts_of(corpus) for corpus in CORPORA}
    print(table([{"corpus": name, **facts} for name, facts in corpora.items()]), flush=True)
    for_sides, for_others = two_cores()
    os.sched_setaffinity(0, for_others)
    found = Found()
    for name in asked.only or WORKLOADS:
        _measure(name, folders[WORKLOADS[name].corpus], python, cores=for_sides, asked=asked, found=found)
    if not asked.skip_spark:
        _measure_spark(folders["dense"], for_sides, asked.spark_urls, found)
    measured = [row for name in found.answers for row in _rows(name, found.answers[name])]
    print(table(measured))
    figures = [*_cost_figures(found), *_quality_figures(found), *(_spark_figures(found.spark) if found.spark else [])]
    more = {"quality": found.quality, "spark": found.spark, "corpora": corpora, "versions": _versions(python)}
    said = result("download", figures, measured, rounds=asked.rounds, urls=asked.urls, **more)
    enough = asked.rounds >= _ROUNDS_AT_LEAST and asked.urls >= _URLS and asked.spark_urls >= _SPARK_URLS
    finish(said, whole=enough and not (asked.only or asked.skip_spark))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.download", description=__doc__, allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=_ROUNDS_AT_LEAST, help="how often each side runs, in turn (3)")
    parser.add_argument("--urls", type=int, default=_URLS, help="URLs of a run (4000)")
    parser.add_argument("--only", choices=WORKLOADS, nargs="+", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)} these alone")
    parser.add_argument(
        "--spark-urls", type=int, nargs=2, default=_SPARK_URLS, metavar="N", help="URLs of the two jobs (4000 32000)"
    )
    parser.add_argument("--skip-spark", action="store_true", help="do not measure what Spark adds")
    return parser


def _measure(name: str, root: Path, python: Path, *, cores: set[int], asked: argparse.Namespace, found: Found) -> None:
    workload = WORKLOADS[name]
    print(f"{name}: {asked.urls:,} URLs less {_FEW}, on cores {sorted(cores)}", flush=True)
    with TemporaryDirectory(dir=CACHE, prefix="download-") as scratch, nginx(root) as server:
        place = Place(scratch=Path(scratch), cores=cores, authorities=server.authorities)
        few, many = (
            write_pool(place.scratch / f"{name} {rows}", workload.corpus, workload.scheme, server, rows)
            for rows in (_FEW, asked.urls)
        )
        found.answers[name], outs = rounds_of(_sides(workload, python), few, many, place, asked.rounds)
        if workload.scheme == "http":
            found.quality[workload.corpus] = quality(workload.corpus, outs[OURS], outs[PEER])
            print(f"  quality: {found.quality[workload.corpus]}", flush=True)


def _sides(workload: Workload, python: Path) -> list[Contender]:
    every = (
        webpairs(OURS),
        webpairs(REENCODED, "--reencode"),
        img2dataset(PEER, python),
        img2dataset(PEER_CACHED, python, one_context=True),
    )
    return [side for side in every if side.name in workload.sides]


def _measure_spark(root: Path, cores: set[int], sizes: Sequence[int], found: Found) -> None:
    print("through Spark, http_dense", flush=True)
    with TemporaryDirectory(dir=CACHE, prefix="download-") as scratch, nginx(root) as server:
        place = Place(scratch=Path(scratch), cores=cores, authorities=server.authorities)
        found.spark = overhead("dense", server, place, sorted(sizes))


def _rows(name: str, answers: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    rows = []
    for side, runs in answers.items():
        cost = Spread.of([run["cpu_ms_per_image"] for run in runs])
        rows.append(
            {
                "workload": name,
                "side": side,
                "CPU ms/image": cost.median,
                "least": cost.least,
                "most": cost.most,
                "× ours": ratio(runs, answers[OURS]).median,
                "images/s": median(run["images_per_s"] for run in runs),
                "start CPU s": median(run["start_cpu_s"] for run in runs),
                "peak PSS MB, all": median(run["peak_pss_mb"] for run in runs),
                "peak RSS MB, one": median(run["peak_rss_mb"] for run in runs),
            }
        )
    return rows


def _cost_figures(found: Found) -> list[Figure]:
    figures, memory = [], []
    for name, answers in found.answers.items():
        for key, (what, theirs, ours) in WORKLOADS[name].ratios.items():
            x = ratio(answers[theirs], answers[ours])
            meaning = f"CPU per image of img2dataset ÷ ours: {what} (median over rounds, {x.least:.2f} to {x.most:.2f})"
            figures.append(Figure(key=key, value=x.median, meaning=f"{meaning}; bigger is better"))
        peaks = zip(answers[OURS], answers[PEER], strict=True)
        memory.append(median(our["peak_pss_mb"] / their["peak_pss_mb"] for our, their in peaks))
    meaning = "peak memory of all processes (PSS) ÷ img2dataset's as shipped, the worst of the workloads; smaller is better"
    return [*figures, Figure(key="rss_ratio", value=max(memory), meaning=meaning)]


def _quality_figures(found: Found) -> list[Figure]:
    if not found.quality:
        return []
    worst = min(found.quality.values(), key=lambda one: one["delta_db"])
    return [
        Figure(
            key="psnr_delta_db",
            value=worst["delta_db"],
            meaning="mean PSNR against the uncompressed pictures, ours − img2dataset's, dB, the worse corpus; bigger is better",
        ),
        Figure(
            key="pictures_of_other_size",
            value=sum(one["of_other_size"] for one in found.quality.values()),
            meaning="pictures whose stored width or height differ between the sides",
        ),
    ]


def _spark_figures(spark: Sequence[Mapping[str, Any]]) -> list[Figure]:
    small, large = spark[0], spark[-1]
    more = large["urls"] - small["urls"] or 1
    job, bare = (large["job_cpu_s"] - small["job_cpu_s"]) / more, (large["bare_cpu_s"] - small["bare_cpu_s"]) / more
    return [
        Figure(
            key="spark_overhead",
            value=large["overhead"],
            meaning=f"CPU time of the whole job on local[2] (JVM, driver, workers) ÷ the whole bare command's, {large['urls']:,} "
            "dense URLs over HTTP; smaller is better",
        ),
        Figure(
            key="spark_overhead_marginal",
            value=job / bare,
            meaning="the same for one more image: what a long job pays",
        ),
        Figure(
            key="spark_fixed_cpu_s",
            value=small["job_cpu_s"] - small["urls"] * job,
            meaning="CPU seconds of the job that do not grow with its images",
        ),
    ]


def _versions(python: Path) -> dict[str, str]:
    return {**versions(*_OUR_LIBRARIES), **versions_in(python, "img2dataset", "albumentations")}


if __name__ == "__main__":
    main()

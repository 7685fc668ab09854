"""The sides of the download benchmark: whole commands on one pool, what a run cost, and what became of its URLs.

A run's cost per image is that of a run on many URLs less that of one on few, in as many shards: start-up, imports and what a
shard costs by itself fall out.
"""

import json
import math
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench.download_peer import ONE_CONTEXT
from bench.places import REPOSITORY
from bench.tree import Cost, cost_of

WORKERS = 2
_CONCURRENCY = 128  # requests at once per worker, DataComp's
_SHARDS = WORKERS  # one per worker, so that both work until the end
# DataComp's download_upstream.py; without its boxes of faces, which need its metadata.
_DATACOMP = {
    "image_size": 512,
    "processes_count": WORKERS,
    "thread_count": _CONCURRENCY,
    "resize_mode": "keep_ratio_largest",
    "resize_only_if_bigger": True,
    "encode_format": "jpg",
    "output_format": "webdataset",
    "input_format": "parquet",
    "url_col": "url",
    "caption_col": "text",
    "save_additional_columns": ["uid"],
    "oom_shard_count": 8,
    "retries": 2,
}


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A downloader: its name, and its command for (pool, out, rows per shard)."""

    name: str
    command: Callable[[Path, Path, int], list[str]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs happen: a folder for what they write, the cores they may use, the authorities they trust."""

    scratch: Path
    cores: Collection[int]
    authorities: Path

    @property
    def environment(self) -> dict[str, str]:
        """For both sides alike: who vouches for the server, no proxy, and no question to PyPI about newer versions."""
        return {
            "SSL_CERT_FILE": str(self.authorities),
            "no_proxy": "*",
            "NO_ALBUMENTATIONS_UPDATE": "1",
            "WANDB_MODE": "disabled",
        }


def webpairs(name: str, *more: str) -> Contender:
    """`webpairs download`, with more options."""

    def command(pool: Path, out: Path, rows_per_shard: int) -> list[str]:
        return [sys.executable, "-m", "pipeline.cli", *options(pool, out, rows_per_shard), "--workers", str(WORKERS), *more]

    return Contender(name=name, command=command)


def options(pool: Path, out: Path, rows_per_shard: int) -> list[str]:
    """The command and options that say the same as DataComp's settings (the rest are defaults)."""
    same = ["--image-size", "512", "--resize-mode", "keep_ratio_largest", "--retries", "2", "--concurrency", str(_CONCURRENCY)]
    where = ["--pool", str(pool), "--out", str(out), "--samples-per-shard", str(rows_per_shard)]
    return ["download", *where, *same, "--allow-private-addresses"]


def img2dataset(name: str, python: Path, *, one_context: bool = False) -> Contender:
    """img2dataset in its own environment, as shipped or with one SSL context per process."""

    def command(pool: Path, out: Path, rows_per_shard: int) -> list[str]:
        settings = {**_DATACOMP, "url_list": str(pool), "output_folder": str(out), "number_sample_per_shard": rows_per_shard}
        path = out.with_suffix(".json")
        path.write_text(json.dumps(settings))
        return [str(python), "-m", "bench.download_peer", str(path), *([ONE_CONTEXT] if one_context else [])]

    return Contender(name=name, command=command)


def two_cores() -> tuple[set[int], set[int]]:
    """The cores of the sides and those of everything else: the last two, and the others where there are more."""
    usable = sorted(os.sched_getaffinity(0))
    return set(usable[-WORKERS:]), set(usable[:-WORKERS] or usable)


def once(contender: Contender, pool: Path, place: Place) -> tuple[Cost, Path]:
    """One run and the folder of its shards. Raises SystemExit where a URL did not succeed."""
    out = place.scratch / f"out of {contender.name}".replace(" ", "_").replace(",", "").replace(".", "_")
    shutil.rmtree(out, ignore_errors=True)
    command = contender.command(pool, out, math.ceil(rows_of(pool) / _SHARDS))
    cost = cost_of(command, folder=REPOSITORY, log=out.with_suffix(".log"), env=place.environment, cores=place.cores)
    check_outcomes(contender.name, pool, out)
    return cost, out


def check_outcomes(name: str, pool: Path, out: Path) -> None:
    """Raise SystemExit where not every row of the pool is a success."""
    rows, outcomes = rows_of(pool), _outcomes_of(out)
    if outcomes != {"success": rows}:
        raise SystemExit(f"{name}: of {rows} URLs of {pool.name}: {dict(outcomes.most_common(5))}; all should succeed")


def rows_of(pool: Path) -> int:
    """Rows of a pool."""
    return sum(pq.read_metadata(path).num_rows for path in pool.glob("*.parquet"))


def _outcomes_of(out: Path) -> Counter[str]:
    """How many rows have which status, failures with their message."""
    found: Counter[str] = Counter()
    for path in out.glob("*.parquet"):
        table = pq.read_table(path, columns=["status", "error_message"])
        found.update(
            status if message is None else f"{status}: {message}"
            for status, message in zip(table["status"].to_pylist(), table["error_message"].to_pylist(), strict=True)
        )
    return found


def per_image(contender: Contender, few: Path, many: Path, place: Place) -> tuple[dict[str, Any], Path]:
    """What an image costs, `cpu_s` and `wall_s` for all images of the difference; and the folder of the larger run."""
    small, _ = once(contender, few, place)
    large, out = once(contender, many, place)
    images = rows_of(many) - rows_of(few)
    cpu_s, wall_s = large.total_s - small.total_s, large.wall_s - small.wall_s
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "images": images,
        "cpu_ms_per_image": 1e3 * cpu_s / images,
        "images_per_s": images / wall_s,
        "start_cpu_s": small.total_s,
        "whole_cpu_s": large.total_s,
        "whole_wall_s": large.wall_s,
        "peak_pss_mb": large.peak_pss_mb,
        "peak_rss_mb": large.peak_rss_mb,
    }, out


def rounds_of(
    contenders: Sequence[Contender], few: Path, many: Path, place: Place, rounds: int
) -> tuple[Mapping[str, list[dict[str, Any]]], dict[str, Path]]:
    """Answers by contender, a run of each per round, in turn; and the folders that the last runs wrote."""
    answers: dict[str, list[dict[str, Any]]] = {contender.name: [] for contender in contenders}
    outs = {}
    for number in range(rounds):
        for contender in contenders:
            answer, outs[contender.name] = per_image(contender, few, many, place)
            answers[contender.name].append(answer)
        said = ", ".join(f"{name} {runs[-1]['cpu_ms_per_image']:.2f}" for name, runs in answers.items())
        print(f"  round {number + 1} of {rounds}, CPU ms per image: {said}", flush=True)
    return answers, outs

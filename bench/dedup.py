"""dedup beside SemDeDup's algorithm on the same embeddings with planted duplicates: CPU seconds, recall, memory, growth.

Makes pools of four sizes and their exact truth in bench/.cache, prints a table and one JSON line, and writes the line to
bench/results/dedup.json where everything was measured. `--only-device` measures ten million rows on a GPU.
"""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bench import dedup_gpu
from bench.dedup_figures import figures_of, pick, rows_of
from bench.dedup_pool import pool
from bench.dedup_sides import OURS, Place, once, ours, settings
from bench.dedup_truth import truth
from bench.measure import table
from bench.places import CACHE, RESULTS
from bench.result import finish, result, versions

_LIBRARIES = ("torch", "faiss-cpu", "numpy", "numba", "pyarrow")


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Rows of the pools: `compared` by the name in their figures' keys; `grown` besides; `start`, whose run is start-up alone."""

    compared: Mapping[str, int] = field(default_factory=lambda: {"100k": 100_000, "1m": 1_000_000})
    grown: Sequence[int] = (200_000, 400_000)
    start: int = 1000
    sampled: int = 100_000  # rows whose truth is computed, of pools up to `whole_to`; of larger ones `sampled_of_more`
    sampled_of_more: int = 20_000


def main() -> None:
    """Measure what the options ask for."""
    asked = _options().parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[-asked.cores :])
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE, prefix="dedup-") as scratch:
        place = Place(scratch=Path(scratch), cores=cores)
        if asked.only_device:
            _add_device(asked, place)
            return
        os.sched_setaffinity(0, cores)  # making pools and their truth, too
        torch.set_num_threads(len(cores))
        answers = measure(Sizes(), asked, place)
    measured = rows_of(answers)
    print(table(measured))
    figures = figures_of(Sizes().compared, answers, asked.memory_gb)
    more = {"cores_used": len(cores), "memory_gb": asked.memory_gb, **dedup_gpu.nothing()}
    finish(result("dedup", figures, measured, rounds=asked.rounds, **more, versions=versions(*_LIBRARIES)), whole=True)

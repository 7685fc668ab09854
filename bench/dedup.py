"""dedup beside SemDeDup's algorithm on the same embeddings with planted duplicates: CPU seconds, recall, memory, growth.

Makes pools of four sizes and their exact truth in bench/.cache, prints a table and one JSON line, and writes the line to
bench/results/dedup.json where everything was measured. `--only-device` measures ten million rows on a GPU.
"""

import argparse
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from bench import dedup_gpu
from bench.dedup_figures import Answers, figures_of, pick, rows_of
from bench.dedup_pool import pool
from bench.dedup_sides import OURS, TIGHT, Place, once, ours, settings
from bench.dedup_truth import truth
from bench.measure import table
from bench.places import CACHE, RESULTS
from bench.result import finish, result, versions

_LIBRARIES = ("torch", "faiss-cpu", "numpy", "numba", "pyarrow")
_MEMORY_GB, _CORES = 4.0, 2


class Load(NamedTuple):
    """A pool that is measured: its rows; how often the sides run; rows whose truth is sought, none where ours runs alone.

    `tight_gb`: the memory of one more run of ours, too little for the pool; 0 for no such run.
    """

    rows: int
    rounds: int
    sampled: int = 0
    tight_gb: float = 0


START = Load(rows=1000, rounds=3)  # what starting costs: nobody's growth
LOADS = {
    "100k": Load(rows=100_000, rounds=3, sampled=100_000),
    "200k": Load(rows=200_000, rounds=2),
    "400k": Load(rows=400_000, rounds=2),
    "1m": Load(rows=1_000_000, rounds=2, sampled=20_000, tight_gb=1.2),
}


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
        torch.set_num_threads(len(cores))  # for the truth
        answers = measure({name: LOADS[name] for name in asked.only or LOADS}, asked.memory_gb, place)
    measured = rows_of(answers)
    print(table(measured))
    tight = {name: load.tight_gb for name, load in LOADS.items() if load.tight_gb}
    more = {"cores_used": len(cores), "memory_gb": asked.memory_gb, "tight_gb": tight, **dedup_gpu.nothing()}
    said = result("dedup", figures_of(answers, asked.memory_gb), measured, **more, versions=versions(*_LIBRARIES))
    finish(said, whole=not asked.only and asked.memory_gb == _MEMORY_GB)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.dedup", description=__doc__, allow_abbrev=False)
    parser.add_argument("--cores", type=int, default=_CORES, help=f"how many cores the sides get ({_CORES})")
    parser.add_argument("--memory-gb", type=float, default=_MEMORY_GB, help=f"the memory that ours is given ({_MEMORY_GB:g})")
    parser.add_argument("--only", choices=LOADS, nargs="+", metavar="SIZE", help=f"of {', '.join(LOADS)} these alone")
    gpu = "cuda" if torch.cuda.is_available() else None
    parser.add_argument("--device", default=gpu, help="the device of --only-device (cuda where there is one)")
    parser.add_argument("--only-device", action="store_true", help="measure there alone, and add it to the result that stands")
    parser.add_argument("--device-rows", type=int, default=dedup_gpu.ROWS, help=f"rows of that run ({dedup_gpu.ROWS:,})")
    return parser


def measure(loads: dict[str, Load], memory_gb: float, place: Place) -> Answers:
    """Answers by the load's name and the side's, as many as it has rounds; where sizes are compared, of ours on `start`, too."""
    answers: Answers = {"start": _alone(START, memory_gb, place)} if len(loads) > 1 else {}
    for name, load in loads.items():
        answers[name] = _beside(load, memory_gb, place) if load.sampled else _alone(load, memory_gb, place)
    return answers


def _alone(load: Load, memory_gb: float, place: Place) -> dict[str, list[dict[str, Any]]]:
    made = pool(load.rows)
    return {OURS: [once(ours(memory_gb), made, None, place) for _ in range(load.rounds)]}


def _beside(load: Load, memory_gb: float, place: Place) -> dict[str, list[dict[str, Any]]]:
    """Ours and every setting of SemDeDup in turn; from the second round on only ours and the setting that is compared."""
    made = pool(load.rows)
    known, tight = truth(made, load.sampled), [ours(load.tight_gb, name=TIGHT)] if load.tight_gb else []
    running = [ours(memory_gb), *settings(load.rows, len(place.cores)), *tight]
    answers: dict[str, list[dict[str, Any]]] = {side.name: [] for side in running}
    for _ in range(load.rounds):
        for side in running:
            answers[side.name].append(once(side, made, known, place))
        running = [side for side in running if side.name in (OURS, pick(answers))]
    return answers


def _add_device(asked: argparse.Namespace, place: Place) -> None:
    """Measure on the device alone, and put it into the result that stands."""
    path = RESULTS / "dedup.json"
    if not (asked.device and path.is_file()):
        raise SystemExit(f"--only-device: needs a GPU (or --device), and {path} of a run without one")
    rows = [dedup_gpu.measure(pool(asked.device_rows), asked.device, place)]
    print(table(rows))
    finish(
        dedup_gpu.added(json.loads(path.read_text()), rows), whole=asked.device == "cuda" and asked.device_rows == dedup_gpu.ROWS
    )


if __name__ == "__main__":
    main()

"""train beside open_clip's trainer on the same shards, model and cores: images per second, whole commands, twelve models in a go.

Makes shards in bench/.cache, prints tables and one JSON line, and writes the line to bench/results/train.json where everything
was measured. Where there is a GPU: images per second there, and the share of what the card can do.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from bench import train_gpu
from bench.measure import table
from bench.places import CACHE, RESULTS
from bench.result import finish, result, versions
from bench.train_figures import Answers, figures_of, rank_figures, rank_rows, rows_of
from bench.train_rank import twelve
from bench.train_shards import MEANING, SHARES, WEB, pool
from bench.train_sides import OURS, PEER, Load, Place, open_clip, rounds_of, webpairs

_LIBRARIES = ("torch", "open_clip_torch", "webdataset", "torchvision", "pillow", "numpy", "numba", "simplejpeg")
_PAIRS, _SAMPLES, _FEW, _BATCH = 4096, 20_480, 2560, 128  # scale demo; 2,560: five of open_clip's epochs, four batches each
_ROUNDS_AT_LEAST, _LOADERS = 3, (1, 2)
_GPU_PAIRS = 8192


def main() -> None:
    """Measure what the options ask for."""
    asked = _options().parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[-asked.cores :])
    CACHE.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=CACHE, prefix="train-") as scratch:
        place = Place(scratch=Path(scratch), cores=cores, threads=asked.threads)
        if asked.only_device:
            _add_device(asked, place)
            return
        found = {kind: _compared(kind, asked, place) for kind in asked.only or MEANING}
        ranked = {} if asked.skip_rank else _ranked(asked, place)
        gpu = _on_device(asked, place) if asked.device else []
    measured = [row for kind, answers in found.items() for row in rows_of(kind, answers)]
    twelves = rank_rows(ranked[OURS], ranked[PEER]) if ranked else []
    print(table(measured), table(twelves), table(gpu), sep="\n\n")
    figures = [*figures_of(found, asked.samples, asked.pairs), *(train_gpu.figures(gpu) if gpu else [])]
    if ranked:
        figures += rank_figures(ranked[OURS], ranked[PEER], asked.rank_samples)
    more = {"rank": twelves, "gpu": gpu, "cores_used": len(cores), **({} if gpu else train_gpu.nothing())}
    said = result("train", figures, measured, rounds=asked.rounds, **more, versions=versions(*_LIBRARIES))
    whole = asked.rounds >= _ROUNDS_AT_LEAST and bool(ranked) and not asked.only and asked.device in (None, "cuda")
    finish(said, whole=whole and (asked.pairs, asked.samples) == (_PAIRS, _SAMPLES))


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.train", description=__doc__, allow_abbrev=False)
    gpu = "cuda" if torch.cuda.is_available() else None
    parser.add_argument("--rounds", type=int, default=_ROUNDS_AT_LEAST, help="how often each side runs, in turn (3)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="how many cores the sides get (all)")
    parser.add_argument("--threads", type=int, default=0, help="threads of either side's model (as many as cores are left)")
    parser.add_argument("--pairs", type=int, default=_PAIRS, help=f"pairs in the pool ({_PAIRS})")
    parser.add_argument("--samples", type=int, default=_SAMPLES, help=f"samples seen by a run ({_SAMPLES}, scale demo)")
    parser.add_argument("--only", choices=MEANING, nargs="+", metavar="POOL", help=f"of {', '.join(MEANING)} these alone")
    parser.add_argument(
        "--rank-samples", type=int, default=_SAMPLES, help=f"samples seen by each of the twelve runs ({_SAMPLES})"
    )
    parser.add_argument(
        "--rank-filters",
        type=int,
        default=len(SHARES),
        help=f"of the peer's {len(SHARES)} filters so many are run, and scaled up",
    )
    parser.add_argument("--skip-rank", action="store_true", help="leave the twelve runs out")
    parser.add_argument(
        "--device", default=gpu, help="where training is measured against the device's limit (cuda if there is one)"
    )
    parser.add_argument("--only-device", action="store_true", help="measure there alone, and add it to the result that stands")
    parser.add_argument("--device-batch", type=int, default=train_gpu.Card.batch_size, help="pairs per batch there (2048)")
    return parser


def _compared(kind: str, asked: argparse.Namespace, place: Place) -> Answers:
    print(f"{kind}: {MEANING[kind]}, model demo, on cores {sorted(place.cores)}", flush=True)
    load = Load(pool(kind, asked.pairs), min(_FEW, asked.samples // 4 // _BATCH * _BATCH), asked.samples)
    return rounds_of([webpairs(len(place.cores)), *map(open_clip, _LOADERS)], load, place, asked.rounds)


def _ranked(asked: argparse.Namespace, place: Place) -> Mapping[str, Mapping[str, Any]]:
    print(f"twelve models, {asked.rank_samples:,} samples each: {len(place.cores)} at once", flush=True)
    of = pool(WEB, asked.pairs)
    return {
        OURS: twelve(OURS, of, asked.rank_samples, place),
        PEER: twelve(PEER, of, asked.rank_samples, place, filters=asked.rank_filters),
    }


def _add_device(asked: argparse.Namespace, place: Place) -> None:
    """Measure on the device alone, and put it into the result that stands."""
    path = RESULTS / "train.json"
    if not (asked.device and path.is_file()):
        raise SystemExit(f"--only-device: needs a GPU (or --device), and {path} of a run without one")
    rows = _on_device(asked, place)
    print(table(rows))
    finish(train_gpu.added(json.loads(path.read_text()), rows), whole=asked.device == "cuda")


def _on_device(asked: argparse.Namespace, place: Place) -> list[dict[str, Any]]:
    # A device that is no GPU is asked for to see that this runs, and gets what it can do in a minute.
    if asked.device.startswith("cuda"):
        card = train_gpu.Card(device=asked.device, batch_size=asked.device_batch)
        return train_gpu.measure(card, list(train_gpu.MODELS), pool(WEB, _GPU_PAIRS), place)
    card = train_gpu.Card(device=asked.device, precision="fp32", batch_size=16, few=1, many=3, matrix_side=1024, matrix_s=0.5)
    return train_gpu.measure(card, ["micro"], pool(WEB, 256), place)


if __name__ == "__main__":
    main()

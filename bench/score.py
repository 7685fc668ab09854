"""score beside clip-retrieval on the same shards, weights and cores: CPU around the model, whole commands, memory, embeddings.

Makes shards, random weights and clip-retrieval's environment in bench/.cache, prints tables and one JSON line, and writes the
line to bench/results/score.json where everything was measured. Where there is a GPU: score there, beside what the card can do.
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

from bench import score_gpu
from bench.measure import table
from bench.peer import environment, versions_in
from bench.places import CACHE, RESULTS
from bench.result import finish, result, versions
from bench.score_agreement import agreement
from bench.score_figures import AUTO, EXACT, OURS, PEER, WORKLOADS, figures_of, rows_of
from bench.score_models import REAL, TINY, checkpoint
from bench.score_shards import KINDS, shards, texts
from bench.score_sides import Contender, Load, Place, clip_retrieval, rounds_of, webpairs
from pipeline.clip import fast_precision

_PEER_PACKAGES = ("torch==2.13.0", "clip-retrieval==2.45.0")
# OpenAI's package, which all_clip imports at its top, takes `packaging` from pkg_resources; later setuptools have it no more.
_PEER_ALONE = ("setuptools==69.5.1",)
_TOLD = ("clip_retrieval", "all_clip", "open_clip_torch", "webdataset", "torch", "torchvision", "pillow", "numpy", "setuptools")
_OUR_LIBRARIES = ("torch", "open_clip_torch", "numpy", "numba", "simplejpeg", "pillow", "pyarrow")
_FEW = {TINY: 256, REAL: 128}  # pairs of the runs that are subtracted
_MANY = {TINY: 2304, REAL: 640}
_ROUNDS_AT_LEAST, _GPU_PAIRS, _GPU_SHARDS = 3, 60_000, 12


@dataclass(kw_only=True)
class Found:
    """What was measured: answers by workload and side, how alike the embeddings are by workload, rows of the GPU."""

    answers: dict[str, Mapping[str, list[dict[str, Any]]]] = field(default_factory=dict)
    agreement: dict[str, dict[str, Any]] = field(default_factory=dict)
    gpu: list[dict[str, Any]] = field(default_factory=list)


def main() -> None:
    """Measure what the options ask for."""
    asked = _options().parse_args()
    cores = set(sorted(os.sched_getaffinity(0))[-asked.cores :])
    if asked.only_device:
        _add_device(asked, cores)
        return
    python = environment("clip-retrieval", packages=_PEER_PACKAGES, alone=_PEER_ALONE)
    fp32 = ("--precision", "fp32")
    sides = (
        webpairs(OURS, *fp32),
        webpairs(EXACT, *fp32, "--preprocess", "exact"),
        *([webpairs(AUTO)] if fast_precision(on_gpu=False) != "fp32" else []),
        clip_retrieval(PEER, python, len(cores)),
    )
    found = Found()
    with TemporaryDirectory(dir=CACHE, prefix="score-") as scratch:
        place = Place(scratch=Path(scratch), cores=cores)
        for name in asked.only or WORKLOADS:
            _measure(name, sides, place, asked, found)
        if asked.device:
            found.gpu = _on_device(asked, place)
    measured = [row for name in found.answers for row in rows_of(name, found.answers[name])]
    print(table(measured), table(found.gpu), sep="\n\n")
    figures = [*figures_of(found.answers, found.agreement), *(score_gpu.figures(found.gpu) if found.gpu else [])]
    none = {} if found.gpu else score_gpu.nothing()
    more = {"agreement": found.agreement, "gpu": found.gpu, "captions": texts()[1], "cores_used": len(cores), **none}
    said = result("score", figures, measured, rounds=asked.rounds, **more, versions=_versions(python))
    enough = asked.rounds >= _ROUNDS_AT_LEAST and asked.pairs is None and asked.device in (None, "cuda")
    finish(said, whole=enough and not asked.only)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.score", description=__doc__, allow_abbrev=False)
    gpu = "cuda" if torch.cuda.is_available() else None
    parser.add_argument("--rounds", type=int, default=_ROUNDS_AT_LEAST, help="how often each side runs, in turn (3)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="how many cores the sides get (all)")
    parser.add_argument("--pairs", type=int, help="pairs of the larger runs (2304 around the model, 640 of whole commands)")
    parser.add_argument("--only", choices=WORKLOADS, nargs="+", metavar="WORKLOAD", help=f"of {', '.join(WORKLOADS)} these alone")
    parser.add_argument(
        "--device", default=gpu, help="where score is measured against the device's limits (cuda where there is one)"
    )
    parser.add_argument("--only-device", action="store_true", help="measure there alone, and add it to the result that stands")
    parser.add_argument("--device-pairs", type=int, default=_GPU_PAIRS, help="pairs of that run (60000)")
    return parser


def _measure(name: str, sides: Sequence[Contender], place: Place, asked: argparse.Namespace, found: Found) -> None:
    kind, model = WORKLOADS[name].kind, WORKLOADS[name].model
    # As many shards as cores: clip-retrieval gives each of its workers shards of its own.
    few, many = (shards(kind, pairs, len(place.cores)) for pairs in (_FEW[model], asked.pairs or _MANY[model]))
    checkpoint(model)
    print(f"{name}: {model}, {KINDS[kind].meaning}, on cores {sorted(place.cores)}", flush=True)
    running = [side for side in sides if side.name in WORKLOADS[name].sides]
    found.answers[name], outs = rounds_of(running, Load(model, few, many), place, asked.rounds)
    if model == REAL:
        theirs = running[-1].embeddings(outs[PEER])
        for side in running[:-1]:
            found.agreement[f"{name}, {side.name}"] = agreement(side.embeddings(outs[side.name]), theirs)
        print(f"  agreement: {found.agreement}", flush=True)


def _add_device(asked: argparse.Namespace, cores: set[int]) -> None:
    """Measure on the device alone, and put it into the result that stands."""
    path = RESULTS / "score.json"
    if not (asked.device and path.is_file()):
        raise SystemExit(f"--only-device: needs a GPU (or --device), and {path} of a run without one")
    with TemporaryDirectory(dir=CACHE, prefix="score-") as scratch:
        rows = _on_device(asked, Place(scratch=Path(scratch), cores=cores))
    print(table(rows))
    finish(score_gpu.added(json.loads(path.read_text()), rows), whole=asked.device == "cuda")


def _on_device(asked: argparse.Namespace, place: Place) -> list[dict[str, Any]]:
    few, many = (shards("256", pairs, _GPU_SHARDS) for pairs in (asked.device_pairs // 10, asked.device_pairs))
    # A device that is no GPU is asked for to see that this runs, and gets what it can do in a minute.
    card = score_gpu.Card() if asked.device.startswith("cuda") else _small(asked.device)
    return score_gpu.measure(card, list(score_gpu.MODELS) if card.precision == "bf16" else [REAL], few, many, place)


def _small(device: str) -> score_gpu.Card:
    return score_gpu.Card(device=device, precision="fp32", batch_size=32, matrix_side=1024, matrix_s=0.5, pairs_in_memory=64)


def _versions(python: Path) -> dict[str, str]:
    theirs = {f"clip-retrieval's {name}": version for name, version in versions_in(python, *_TOLD).items() if name != _TOLD[0]}
    return {**versions(*_OUR_LIBRARIES), "clip_retrieval": versions_in(python, _TOLD[0])[_TOLD[0]], **theirs}


if __name__ == "__main__":
    main()

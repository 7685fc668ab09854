"""The sides of the score benchmark: whole commands on the same shards and weights, what a pair costs, and what came out.

A run's cost per pair is that of a run on many pairs less that of one on few, in as many shards: start-up, imports, loading the
model and what a shard costs by itself fall out.
"""

import json
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq

from bench.places import REPOSITORY
from bench.score_models import OF_THE_BENCHMARK, checkpoint, configs
from bench.score_peer import STATS
from bench.tree import Cost, cost_of

BATCH_SIZE = 256  # both sides' default
COLUMN = "bench"
OFFLINE = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled", "NO_ALBUMENTATIONS_UPDATE": "1", "TOKENIZERS_PARALLELISM": "false"}
# Around the model, it gets one thread on both sides: with more, those that wait for others in OpenMP's barriers burn more CPU
# than the tiny model itself, the more so as processes that decode take the cores away from them.
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class Share(NamedTuple):
    """Seconds in the model, and seconds from the first pair's reading to the last one's writing."""

    model_s: float
    whole_s: float


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A side: its name; its command for (shards, out, model); pairs and embeddings in what it wrote; where its seconds went."""

    name: str
    command: Callable[[Path, Path, str], list[str]]
    embeddings: Callable[[Path], dict[str, np.ndarray]]
    share: Callable[[Path], Share | None]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs happen: a folder for what they write, and the cores they may use."""

    scratch: Path
    cores: Collection[int]


class Load(NamedTuple):
    """What is run: a model on two folders of shards."""

    model: str
    few: Path
    many: Path


def webpairs(name: str, *more: str, batch_size: int = BATCH_SIZE) -> Contender:
    """`webpairs score`, with more options."""

    def command(shards: Path, out: Path, model: str) -> list[str]:
        start = ["-m", "bench.score_ours", str(configs())] if model in OF_THE_BENCHMARK else ["-m", "pipeline.cli"]
        what = ["--model", model, "--pretrained", str(checkpoint(model)), "--column", COLUMN, "--batch-size", str(batch_size)]
        return [sys.executable, *start, "score", "--shards", str(shards), "--out", str(out), *what, *more]

    return Contender(name=name, command=command, embeddings=_our_embeddings, share=_our_share)


def clip_retrieval(name: str, python: Path, workers: int) -> Contender:
    """clip-retrieval in its own environment, with `workers` processes that read and preprocess."""

    def command(shards: Path, out: Path, model: str) -> list[str]:
        settings = {
            "shards": [str(path) for path in sorted(shards.glob("*.tar"))],
            "out": str(out),
            "clip_model": f"open_clip:{model}/{checkpoint(model)}",
            "batch_size": BATCH_SIZE,
            "num_prepro_workers": workers,
            "configs": str(configs()),
        }
        path = out.with_suffix(".json")
        path.write_text(json.dumps(settings))
        return [str(python), "-m", "bench.score_peer", str(path)]

    return Contender(name=name, command=command, embeddings=_their_embeddings, share=_their_share)


def once(side: Contender, shards: Path, model: str, place: Place) -> tuple[Cost, Path]:
    """One run and the folder it wrote. Raises SystemExit where a pair has no embeddings."""
    out = place.scratch / f"{side.name} {model}".replace(" ", "_").replace(",", "").replace("-", "_")
    shutil.rmtree(out, ignore_errors=True)
    command = side.command(shards, out, model)
    env = {**OFFLINE, **(ONE_THREAD if model in OF_THE_BENCHMARK else {})}
    cost = cost_of(command, folder=REPOSITORY, log=out.with_suffix(".log"), env=env, cores=place.cores)
    found, wanted = len(side.embeddings(out)), pairs_in(shards)
    if found != wanted:
        raise SystemExit(f"{side.name}: embeddings of {found} of the {wanted} pairs in {shards}; all should have them")
    return cost, out


def pairs_in(shards: Path) -> int:
    """Pairs of a folder of shards, by its sidecars."""
    return sum(pq.read_metadata(path).num_rows for path in shards.glob("*.parquet"))


def per_pair(side: Contender, load: Load, place: Place) -> tuple[dict[str, Any], Path]:
    """What a pair costs, `cpu_s` and `wall_s` for all pairs of the difference; and the folder of the larger run."""
    small, out = once(side, load.few, load.model, place)
    before = side.share(out)
    large, out = once(side, load.many, load.model, place)
    return difference(small, large, before, side.share(out), pairs_in(load.many) - pairs_in(load.few)), out


def difference(small: Cost, large: Cost, before: Share | None, after: Share | None, pairs: int) -> dict[str, Any]:
    """What `pairs` pairs cost that were in the larger run alone; `before` and `after` are the shares of both runs."""
    cpu_s, wall_s = large.total_s - small.total_s, large.wall_s - small.wall_s
    told = before and after
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "pairs": pairs,
        "cpu_ms_per_pair": 1e3 * cpu_s / pairs,
        "pairs_per_s": pairs / wall_s,
        "model_share": (after.model_s - before.model_s) / (after.whole_s - before.whole_s) if told else None,
        "start_cpu_s": small.total_s,
        "whole_wall_s": large.wall_s,
        "peak_pss_mb": large.peak_pss_mb,
        "peak_rss_mb": large.peak_rss_mb,
    }


def rounds_of(
    sides: Sequence[Contender], load: Load, place: Place, rounds: int
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Path]]:
    """Answers by side, a run of each per round, in turn; and the folders that the last runs wrote."""
    answers: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    outs = {}
    for number in range(rounds):
        for side in sides:
            answer, outs[side.name] = per_pair(side, load, place)
            answers[side.name].append(answer)
        said = ", ".join(f"{name} {runs[-1]['cpu_ms_per_pair']:.2f}" for name, runs in answers.items())
        print(f"  round {number + 1} of {rounds}, CPU ms per pair: {said}", flush=True)
    return answers, outs


def _our_embeddings(out: Path) -> dict[str, np.ndarray]:
    """Key → (2, d) float32, the image's embedding and the text's."""
    found = {}
    for path in sorted(out.glob("*.parquet")):
        with np.load(path.with_suffix(".npz")) as arrays:
            both = np.stack([arrays[f"{COLUMN}_img"], arrays[f"{COLUMN}_txt"]], axis=1).astype(np.float32)
        found.update(zip(pq.read_table(path, columns=["key"])["key"].to_pylist(), both, strict=True))
    return found


def _their_embeddings(out: Path) -> dict[str, np.ndarray]:
    keys = pq.read_table(out / "metadata" / "metadata_0.parquet", columns=["image_path"])["image_path"].to_pylist()
    both = np.stack([np.load(out / f"{what}_emb" / f"{what}_emb_0.npy") for what in ("img", "text")], axis=1)
    return dict(zip(keys, both.astype(np.float32), strict=True))


def _our_share(out: Path) -> Share | None:
    """None where the stage does not tell how long it was in the model."""
    parts = [json.loads(path.read_text()) for path in (out / "_parts").glob("*.json")]
    told = [part["facts"].get("model_s") for part in parts]
    if not parts or None in told:
        return None
    return Share(sum(told), sum(part["duration_s"] for part in parts))


def _their_share(out: Path) -> Share | None:
    stats = json.loads((out / STATS).read_text())
    return Share(stats["inference_duration"], stats["between_s"])

"""train on a GPU beside its limit: images per second, and the share of the card's own matrix products that they make.

In: a device, so that the path can be tried without a GPU. Out: a row per model, and the figures made of them.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.places import REPOSITORY
from bench.result import Figure, result
from bench.score_gpu import alone, busy, watched
from bench.train_shards import Pool
from bench.train_sides import Place
from bench.tree import Cost, cost_of

# Key of a model in the figures' names; ViT-B-32 at 224 px, the model of DataComp's small scale, has none.
MODELS = {"ViT-B-32": "", "micro": "_micro"}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is measured: the device, the number format, pairs per batch, batches of the two runs, and the matrices' side."""

    device: str = "cuda"
    precision: str = "bf16"
    batch_size: int = 2048
    few: int = 10
    many: int = 90
    matrix_side: int = 8192
    matrix_s: float = 3.0


def measure(card: Card, models: Sequence[str], pool: Pool, place: Place) -> list[dict[str, Any]]:
    """A row per model: images per second, start-up left out, the share of the peak, and how busy the card was."""
    products = {"device": card.device, "precision": card.precision, "side": card.matrix_side, "seconds": card.matrix_s}
    peak = alone("matrix_products", **products)["tflops"]
    return [_row(card, model, pool, place, peak) for model in models]


def figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The figures of `measure`'s rows."""
    found = []
    for row in rows:
        key, model = MODELS[row["model"]], row["model"]
        meanings = {
            f"gpu_images_per_s{key}": (row["images/s"], f"{model}: images trained on per second, {row['precision']}, one card"),
            f"mfu{key}": (row["of peak"], f"{model}: operations per second ÷ the card's measured peak of bf16 matrix products"),
            f"gpu_busy{key}": (row["busy %"], f"{model}: GPU utilisation that the driver told, mean, %; more than 90 is meant"),
        }
        found += [Figure(key=name, value=value, meaning=f"{told}; bigger is better") for name, (value, told) in meanings.items()]
    return found


def nothing() -> dict[str, None]:
    """The keys of `figures` where there is no GPU."""
    row = dict.fromkeys(("images/s", "of peak", "busy %", "precision"))
    return {figure.key: None for figure in figures([{**row, "model": model} for model in MODELS])}


def added(to: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A result measured without a GPU, with what this run measured on one, and where and when that was."""
    fresh = result(to["bench"], figures(rows), rows)
    about = {"gpu": fresh["measured"], **{f"gpu_{what}": fresh[what] for what in ("date", "machine", "command")}}
    values = {key: fresh[key] for key in fresh["meaning"]}
    return {**to, **values, **about, "meaning": {**to["meaning"], **fresh["meaning"]}}


def _row(card: Card, model: str, pool: Pool, place: Place, peak_tflops: float) -> dict[str, Any]:
    _train(card, model, pool, card.few, place)  # makes the decoded pool
    small, _ = _train(card, model, pool, card.few, place)
    with watched(place.scratch / "busy") as samples:
        large, told = _train(card, model, pool, card.many, place)
    wall_s = large.wall_s - small.wall_s
    rate = (card.many - card.few) * card.batch_size / wall_s
    print(f"  {model} on {card.device}: {rate:,.0f} images/s", flush=True)
    return {
        "model": model,
        "device": alone("name", device=card.device)["name"],
        "precision": card.precision,
        "batch": card.batch_size,
        "images/s": rate,
        "images/s, its own clock": told["images_per_s"],
        "GFLOP/image": told["flops_per_sample"] / 1e9,
        "of peak": rate * told["flops_per_sample"] / 1e12 / peak_tflops,
        "peak TFLOP/s": peak_tflops,
        "busy %": busy(samples.read_text(), wall_s) if samples.exists() else None,
        "start s": small.wall_s,
        "peak GB of the device": told["peak_memory_bytes"] / 1e9,
    }


def _train(card: Card, model: str, pool: Pool, batches: int, place: Place) -> tuple[Cost, dict[str, Any]]:
    """One run, and its train.json."""
    out = place.scratch / "gpu"
    shutil.rmtree(out, ignore_errors=True)
    sizes = ["--batch-size", str(card.batch_size), "--samples-seen", str(batches * card.batch_size)]
    what = [
        "--shards",
        str(pool.folder),
        "--subset",
        str(pool.subset("all")),
        "--scale",
        "small",
        "--model",
        model,
        "--out",
        str(out),
    ]
    how = ["--device", card.device, "--precision", card.precision, "--decoded", str(place.scratch / "decoded")]
    command = [sys.executable, "-m", "pipeline.cli", "train", *what, *sizes, *how, "--checkpoints", "1"]
    log = place.scratch / "gpu.log"
    cost = cost_of([*command, "--workers", str(len(place.cores))], folder=REPOSITORY, log=log, cores=place.cores)
    (path,) = Path(out).glob("*/*/seed_0/train.json")
    return cost, json.loads(path.read_text())

"""score on a GPU beside its limits: the same models fed from memory alone, and the card's own matrix products.

In: a device, so that the path can be tried without a GPU. Out: a row per model, and the figures made of them.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.places import REPOSITORY
from bench.result import Figure, result
from bench.score_models import LARGE, REAL, checkpoint, configs
from bench.score_sides import Load, Place, difference, once, pairs_in, webpairs

_EVERY_S = 0.1  # a sample of the GPU's utilisation
# Key of a model in the figures' names; ViT-B-32, the model of DataComp's own columns, has none.
MODELS = {REAL: "", LARGE: "l14_"}


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is measured: the device, the number format, pairs per batch, and how large the matrices are whose product is timed."""

    device: str = "cuda"
    precision: str = "bf16"
    batch_size: int = 1024
    matrix_side: int = 8192
    matrix_s: float = 3.0
    pairs_in_memory: int = 32_768


def measure(card: Card, models: Sequence[str], few: Path, many: Path, place: Place) -> list[dict[str, Any]]:
    """A row per model: pairs per second from shards and from memory, shares of the limit and of the peak, how busy it was."""
    products = {"device": card.device, "precision": card.precision, "side": card.matrix_side, "seconds": card.matrix_s}
    peak = alone("matrix_products", **products)["tflops"]
    return [_row(card, Load(model, few, many), place, peak) for model in models]


def figures(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The figures of `measure`'s rows. `gpu_busy` is the model's with the shorter name."""
    found = []
    for row in rows:
        key, model = MODELS[row["model"]], row["model"]
        meanings = {
            "pairs_per_s": (row["pairs/s"], f"{model}: pairs per second from shards, start-up left out; bigger is better"),
            "limit_pairs_per_s": (row["from memory"], f"{model}: pairs per second fed from memory alone, the limit"),
            "of_limit": (row["of limit"], f"{model}: the first ÷ the second; bigger is better"),
            "of_peak": (row["of peak"], f"{model}: operations per second ÷ the card's measured peak of bf16 matrix products"),
            "model_share": (row["model share"], f"{model}: share of the time in which the model was computing"),
            "busy": (row["busy %"], f"{model}: GPU utilisation that the driver told, mean, %; bigger is better"),
        }
        found += [Figure(key=f"gpu_{key}{name}", value=value, meaning=told) for name, (value, told) in meanings.items()]
    peak = rows[0]["peak TFLOP/s"]
    return [
        *found,
        Figure(key="gpu_peak_tflops", value=peak, meaning="the card's measured peak of bf16 matrix products, TFLOP/s"),
    ]


def added(to: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A result measured without a GPU, with what this run measured on one, and where and when that was."""
    fresh = result(to["bench"], figures(rows), rows)
    about = {"gpu": fresh["measured"], **{f"gpu_{what}": fresh[what] for what in ("date", "machine", "command")}}
    values = {key: fresh[key] for key in fresh["meaning"]}
    return {**to, **values, **about, "meaning": {**to["meaning"], **fresh["meaning"]}}


def nothing() -> dict[str, None]:
    """The keys of `figures` where there is no GPU."""
    row = dict.fromkeys(("pairs/s", "from memory", "of limit", "of peak", "model share", "busy %", "peak TFLOP/s"))
    return {figure.key: None for figure in figures([{**row, "model": model} for model in MODELS])}


def _row(card: Card, load: Load, place: Place, peak_tflops: float) -> dict[str, Any]:
    model, format_ = load.model, {"device": card.device, "precision": card.precision}
    weights = {"model": model, "pretrained": str(checkpoint(model)), "configs": str(configs())}
    limit = alone("in_memory", **weights, **format_, batch_size=card.batch_size, pairs=card.pairs_in_memory)
    ours = webpairs("ours", "--device", card.device, "--precision", card.precision, batch_size=card.batch_size)
    small, out = once(ours, load.few, model, place)
    before = ours.share(out)
    with watched(place.scratch / "busy") as samples:
        large, out = once(ours, load.many, model, place)
    run = difference(small, large, before, ours.share(out), pairs_in(load.many) - pairs_in(load.few))
    rate = run["pairs_per_s"]
    print(f"  {model} on {card.device}: {rate:,.0f} pairs/s, from memory {limit['pairs_per_s']:,.0f}", flush=True)
    return {
        "model": model,
        "device": alone("name", device=card.device)["name"],
        "precision": card.precision,
        "pairs/s": rate,
        "from memory": limit["pairs_per_s"],
        "of limit": rate / limit["pairs_per_s"],
        "GFLOP/pair": limit["gflop_per_pair"],
        "tokens/text": limit["tokens_per_text"],
        "of peak": rate * limit["gflop_per_pair"] / 1e3 / peak_tflops,
        "peak TFLOP/s": peak_tflops,
        "model share": run["model_share"],
        "busy %": busy(samples.read_text(), run["wall_s"]) if samples.exists() else None,
        "CPU ms/pair": run["cpu_ms_per_pair"],
        "start s": small.wall_s,
        "peak PSS MB": large.peak_pss_mb,
    }


def alone(work: str, **arguments: Any) -> dict[str, Any]:
    """What bench.score_device answers for that work, in a process of its own. Raises SystemExit with its error."""
    command = [sys.executable, "-m", "bench.score_device", json.dumps({"work": work, **arguments})]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"bench.score_device {work}: status {ran.returncode}\n{ran.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@contextmanager
def watched(path: Path) -> Iterator[Path]:
    """The GPU's utilisation, a sample per line, in a file; no file where the driver's tool is absent."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        yield path
        return
    words = [tool, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", str(round(1000 * _EVERY_S))]
    with path.open("w") as file, subprocess.Popen(words, stdout=file) as process:
        try:
            yield path
        finally:
            process.terminate()


def busy(samples: str, seconds: float) -> float | None:
    """Mean utilisation in % of the last `seconds` up to the last sample that is not 0: start-up lies before; None without one."""
    values = [int(line) for line in samples.split() if line.isdecimal()]
    while values and not values[-1]:
        values.pop()
    during = values[-max(1, round(seconds / _EVERY_S)) :]
    return sum(during) / len(during) if during else None

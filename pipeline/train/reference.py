"""One reference model: subset and decoded pool in, checkpoints, metrics.jsonl and train.json out."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pipeline import io
from pipeline.clip import Clip, load_clip
from pipeline.ledger import write_report
from pipeline.manifest import Manifest, PartReport, peak_rss_bytes, to_json
from pipeline.progress import progress
from pipeline.stage import Part, PartFolder, begin, done_parts, end, part_folder
from pipeline.subset_file import read_subset
from pipeline.train.loop import finite, steps
from pipeline.train.order import Order, index_of
from pipeline.train.pool import DecodedPool, decoded_pool
from pipeline.train.scales import Scale, checkpoint_steps, scale_of
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.train import TrainConfig

TRAIN_JSON = "train.json"
_PART = Part(name="run")
_LINES = 1000  # of metrics.jsonl, at most about so many


@dataclass(frozen=True, kw_only=True)
class _Run:
    """What is to be trained, all choices made."""

    filter: str
    scale_name: str
    scale: Scale
    model: str
    samples_seen: int
    precision: str

    @property
    def n_steps(self) -> int:
        return self.samples_seen // self.scale.batch_size


def train(config: "TrainConfig") -> Manifest:
    """See pipeline.train.run."""
    run = _choices(config)
    folder, wanted = run_folder(config), read_subset(config.subset)
    config = replace(config, subset_sha256=hashlib.sha256(io.read_bytes(config.subset)).hexdigest())
    stage = begin("train", config, out=folder, upstream=[config.shards])
    done = done_parts(folder, [_PART])
    if done:
        return end(stage, list(done.values()), resumed=1)
    torch.manual_seed(config.seed)  # the same initial weights for every filter: what differs is the data
    clip = load_clip(run.model, None, device=config.device)
    pool = decoded_pool(
        config.shards,
        config.decoded or io.join(config.out, "_decoded"),
        image_size_px=clip.image_size_px,
        tokenizer=clip.tokenizer,
        workers=config.workers,
    )
    report = _train_on(config, run, clip, pool, wanted)
    write_report(folder, report)
    return end(stage, [report])


def run_folder(config: "TrainConfig") -> str:
    """OUT/{filter}/{scale}/seed_{N}, names made safe; another model than the scale's own stands in the scale's folder name."""
    own = config.model in (None, scale_of(config.scale).model)
    scale = config.scale if own else f"{config.scale}_{config.model}"
    return io.join(config.out, _safe(_filter_name(config)), _safe(scale), f"seed_{config.seed}")


def _choices(config: "TrainConfig") -> _Run:
    scale = scale_of(config.scale)
    samples = scale.samples_seen if config.samples_seen is None else config.samples_seen
    if samples < scale.batch_size:
        raise UsageError(f"--samples-seen {samples}: less than one batch of scale {config.scale} ({scale.batch_size} samples)")
    if config.seed < 0:
        raise UsageError(f"--seed {config.seed}: must be 0 or more")
    return _Run(
        filter=_filter_name(config),
        scale_name=config.scale,
        scale=scale,
        model=config.model or scale.model,
        samples_seen=samples,
        precision=config.precision,
    )


def _filter_name(config: "TrainConfig") -> str:
    return config.filter_name or io.stem(config.subset)


def _safe(name: str) -> str:
    """A name as one path component: letters, digits, dot, dash, underscore, no dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


def _train_on(config: "TrainConfig", run: _Run, clip: Clip, pool: DecodedPool, wanted: np.ndarray) -> PartReport:
    index = index_of(wanted, pool.uids)
    if not len(index):
        raise UserError(
            f"{config.subset}: none of its {len(wanted)} uids is among the {len(pool.uids)} pairs of {config.shards}; "
            "was it made from other shards?"
        )
    with part_folder(run_folder(config), _PART) as files:
        lines = _fit(clip, pool, Order(index, config.seed), run, files)
        facts = _facts(config, run, index_size=len(index), lines=lines)
        with files.open(TRAIN_JSON) as file:
            file.write(to_json(facts))
        names = files.commit()
    counts = {
        "rows_in": len(wanted),
        "rows_out": len(index),
        "dropped_not_in_shards": len(wanted) - len(index),
        "samples_seen": facts["samples_seen"],
    }
    return PartReport(
        name=_PART.name, counts=counts, inputs=pool.inputs, files=names, facts=facts, peak_rss_bytes=peak_rss_bytes()
    )


def _fit(clip: Clip, pool: DecodedPool, order: Order, run: _Run, files: PartFolder) -> list[dict[str, Any]]:
    """Train, writing checkpoints and metrics.jsonl; the lines of the latter."""
    total = run.n_steps
    save_at, every = set(checkpoint_steps(run.scale, run.samples_seen)), max(1, total // _LINES)
    lines = []
    doing = steps(clip, pool, order, run.scale, n_steps=total, precision=run.precision)
    for step in progress(doing, total=total, label=f"train {run.filter} seed {order.seed}", unit="step"):
        if step.step % every == 0 or step.step in save_at:
            loss = finite(step.loss, step.step)
            speed = round(step.images_per_s, 1)
            line = {"step": step.step, "samples_seen": step.samples_seen, "loss": loss, "lr": step.lr, "images_per_s": speed}
            lines.append(line)
        if step.step in save_at:
            _save(clip, step.samples_seen, files)
    with files.open("metrics.jsonl") as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    return lines


def checkpoint_name(samples_seen: int) -> str:
    """The file of the model after so many samples."""
    return f"checkpoint_{samples_seen:012d}.pt"


def _save(clip: Clip, samples_seen: int, files: PartFolder) -> None:
    weights = {name: value.detach().cpu() for name, value in clip.model.state_dict().items()}
    with files.open(checkpoint_name(samples_seen)) as file:
        torch.save({"state_dict": weights, "samples_seen": samples_seen}, file)


def _facts(config: "TrainConfig", run: _Run, *, index_size: int, lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What evaluate, rank and a reader need to know of the run."""
    batch = run.scale.batch_size
    return {
        "filter": run.filter,
        "scale": run.scale_name,
        "model": run.model,
        "seed": config.seed,
        "samples_seen": run.n_steps * batch,
        "rows": index_size,
        "checkpoints": [step * batch for step in checkpoint_steps(run.scale, run.samples_seen)],
        "hyper_parameters": asdict(run.scale),
        "precision": config.precision,
        "subset": Path(config.subset).name,
        "subset_sha256": config.subset_sha256,
        "final_loss": lines[-1]["loss"],
        "images_per_s": lines[-1]["images_per_s"],
    }

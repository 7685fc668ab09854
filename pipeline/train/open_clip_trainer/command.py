"""A training run as DataComp hands it to open_clip's trainer: how many steps that makes, and the command line.

The arguments are those of DataComp's train.py (mlfoundations/datacomp at 4a8df19): resampled shards, a cosine of the learning
rate, gradient checkpointing, one epoch per share of the budget after which a checkpoint could be written.
"""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from pipeline import io
from pipeline.clip import choose_device
from pipeline.train.choices import Run
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.train import TrainConfig

EPOCHS = 5  # DataComp's --num_checkpoints
_PRECISIONS = {"fp32": "fp32", "bf16": "amp_bf16"}
_LOG_EVERY = 100  # steps between two lines of the log
CROP_SCALE = 0.9  # least share of the area that its random crops keep
_NOT_IN_PATHS = ("::", "{", "}", "\\", "\n")  # what braceexpand and open_clip's lists of shards take for their own


@dataclass(frozen=True, kw_only=True)
class OpenClipPlan:
    """The numbers that open_clip's trainer is given, and what it makes of them. `saved`: the epochs after which it saves."""

    device: str
    processes: int
    batch_size: int  # samples per process and pass
    accumulate: int
    loaders: int  # worker processes that decode, per process
    epochs: int
    epoch_samples: int
    saved: tuple[int, ...]

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps: samples of an epoch in whole batches, as many of them for each loader, rounded up."""
        batches = math.ceil(self.epoch_samples / (self.batch_size * self.processes))
        return math.ceil(batches / self.loaders) * self.loaders // self.accumulate

    def samples_after(self, epoch: int) -> int:
        """Samples seen when that epoch, counted from 1, has ended."""
        return epoch * self.steps_per_epoch * self.batch_size * self.processes * self.accumulate


def plan_of(config: "TrainConfig", run: Run) -> OpenClipPlan:
    """The plan of a run. Raises UsageError for options that open_clip's trainer has nothing for, or that it cannot divide."""
    _require_supported(config)
    device = choose_device(config.device)
    processes = max(1, torch.cuda.device_count()) if config.device == "auto" and device == "cuda" else 1
    whole, parts = run.scale.batch_size, processes * config.accumulate
    if whole % parts:
        raise UsageError(
            f"a batch of {whole} samples cannot be divided among {processes} GPUs × --accumulate {config.accumulate}"
        )
    epochs = min(EPOCHS, run.samples_seen // whole)
    plan = OpenClipPlan(
        device=device,
        processes=processes,
        batch_size=whole // parts,
        accumulate=config.accumulate,
        loaders=config.workers,
        epochs=epochs,
        epoch_samples=run.samples_seen // epochs,
        saved=_saved(config.checkpoints, epochs),
    )
    if not plan.steps_per_epoch:
        raise UsageError(f"--accumulate {config.accumulate}: an epoch of {plan.epoch_samples} samples has no whole batch")
    return plan


def trainer_command(config: "TrainConfig", run: Run, plan: OpenClipPlan, *, train_data: str, logs: str) -> list[str]:
    """The words that start the trainer on the shards of `train_data`, in braces; it writes below `logs`."""
    start = [sys.executable, "-m", "pipeline.train.open_clip_trainer.main"]
    if plan.processes > 1:
        workers = ["--standalone", f"--nproc-per-node={plan.processes}"]
        start = [sys.executable, "-m", "torch.distributed.run", *workers, "-m", "pipeline.train.open_clip_trainer.main"]
    scale = run.scale
    values = {
        "save-frequency": 1 if len(plan.saved) > 1 else 0,
        "train-data": train_data,
        "train-num-samples": plan.epoch_samples,
        "dataset-type": "webdataset",
        "warmup": scale.warmup_steps,
        "precision": _PRECISIONS[config.precision],
        "workers": plan.loaders,
        "model": run.model,
        "batch-size": plan.batch_size,
        "epochs": plan.epochs,
        "lr": scale.learning_rate,
        "beta1": scale.beta1,
        "beta2": scale.beta2,
        "eps": scale.epsilon,
        "wd": scale.weight_decay,
        "logs": logs,
        "name": exp_name(run),
        "seed": config.seed,
        "accum-freq": plan.accumulate,
        "log-every-n-steps": _LOG_EVERY,
        "resume": "latest",
        "device": plan.device,
        **({"report-to": "tensorboard"} if config.tensorboard else {}),
    }
    switches = [
        "ddp-static-graph",
        "local-loss",
        "gather-with-grad",
        "grad-checkpointing",
        "dataset-resampled",
        "save-most-recent",
    ]
    if run.loss == "siglip":
        switches.append("siglip")
    # With "=", a value never passes for an option, whatever it begins with.
    return [*start, *(f"--{name}={value}" for name, value in values.items()), *(f"--{name}" for name in switches)]


def exp_name(run: Run) -> str:
    """DataComp's name for a run of that scale: a folder below --logs."""
    return f"{run.scale_name}_scale"


def shards_in_braces(folder: str, count: int) -> str:
    """The first `count` shards of a local folder as open_clip's trainer takes them. Raises UserError for an odd path."""
    path = os.path.join(io.absolute(folder), f"{{{0:08d}..{count - 1:08d}}}.tar")
    odd = next((sign for sign in _NOT_IN_PATHS if sign in folder or sign in os.path.dirname(path)), None)
    if odd is not None:
        raise UserError(f"{folder}: open_clip's trainer takes {odd!r} in a path for its own syntax; give another --out")
    return path


def _require_supported(config: "TrainConfig") -> None:
    if config.cooldown:
        raise UsageError("--cooldown: not with --engine open_clip, which runs DataComp's cosine")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("--engine open_clip: start it once, it starts torchrun itself; on several machines see docs/train.md")
    if not io.is_local(config.out):
        raise UserError(f"{config.out}: open_clip's trainer writes to local folders; give a local --out")


def _saved(shares: Sequence[float], epochs: int) -> tuple[int, ...]:
    """Epochs, from 1, whose models are kept: the last one, and those that --checkpoints asks for."""
    exact = [share * epochs for share in shares]
    odd = next(
        (share for share, at in zip(shares, exact, strict=True) if abs(at - round(at)) > 1e-6 or not 1 <= at <= epochs), None
    )
    if odd is not None:
        choices = ", ".join(f"{epoch / epochs:g}" for epoch in range(1, epochs + 1))
        raise UsageError(f"--checkpoints {odd:g}: with --engine open_clip choose from {choices}, the ends of its epochs")
    return tuple(sorted({*map(round, exact), epochs}))

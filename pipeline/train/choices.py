"""What a training run is: its options checked against one another, its folder, its model, its pool and its rows."""

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from pipeline import io
from pipeline.clip import Clip, has_logit_bias, load_clip
from pipeline.nearby import sha256_of
from pipeline.subset_file import read_subset
from pipeline.train.decoded.pool import DecodedPool, decoded_pool
from pipeline.train.feeding.order import index_of
from pipeline.train.scales import Scale, scale_of
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.train import TrainConfig

# The logit scale, as a logarithm, and the bias that the sigmoid loss begins with. Source: Zhai et al. 2023, section 4.
_SIGMOID_START = (math.log(10), -10.0)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is to be trained, all choices made: `scale` has the batch size and the checkpoints as they were asked for."""

    filter: str
    scale_name: str
    scale: Scale
    model: str
    samples_seen: int
    precision: str
    loss: Literal["clip", "siglip"] = "clip"
    accumulate: int = 1
    cooldown: float = 0.0

    @property
    def n_steps(self) -> int:
        """Optimiser steps; samples that do not fill a batch are not seen."""
        return self.samples_seen // self.scale.batch_size


def choices(config: "TrainConfig") -> Run:
    """The run that a config means. Raises UsageError or UserError for options out of bounds and for unknown names."""
    scale = scale_of(config.scale)
    batch_size = scale.batch_size if config.batch_size is None else config.batch_size
    _require_bounds(config, batch_size)
    samples = scale.samples_seen if config.samples_seen is None else config.samples_seen
    if samples < batch_size:
        raise UsageError(f"--samples-seen {samples}: less than one batch of scale {config.scale} ({batch_size} samples)")
    model = config.model or scale.model
    return Run(
        filter=_filter_name(config),
        scale_name=config.scale,
        scale=replace(scale, batch_size=batch_size, checkpoints=config.checkpoints or scale.checkpoints),
        model=model,
        samples_seen=samples,
        precision=config.precision,
        loss=config.loss if config.loss != "auto" else "siglip" if has_logit_bias(model) else "clip",
        accumulate=config.accumulate,
        cooldown=config.cooldown,
    )


def _require_bounds(config: "TrainConfig", batch_size: int) -> None:
    if config.seed < 0:
        raise UsageError(f"--seed {config.seed}: must be 0 or more")
    if batch_size < 2:
        raise UsageError(f"--batch-size {batch_size}: must be 2 or more; a pair is told from the others of its batch")
    if not 1 <= config.accumulate <= batch_size:
        raise UsageError(f"--accumulate {config.accumulate}: must be 1 to the batch size, {batch_size}")
    if not 0 <= config.cooldown <= 1:
        raise UsageError(f"--cooldown {config.cooldown}: must be 0 to 1, a share of the budget")
    wrong = [share for share in config.checkpoints if not 0 < share <= 1]
    if wrong:
        raise UsageError(f"--checkpoints {wrong[0]}: must be more than 0 and at most 1, a share of the budget")
    if config.state_every_s < 0:
        raise UsageError(f"--state-every-s {config.state_every_s}: must be 0 or more")
    if config.tensorboard and not io.is_local(config.out):
        raise UsageError(f"--tensorboard: writes to local folders only, and --out is {config.out}; leave it out")


def model_and_pool(config: "TrainConfig", run: Run, device: str) -> tuple[Clip, DecodedPool]:
    """The model with its initial weights, and the decoded pool."""
    torch.manual_seed(config.seed)  # the same initial weights for every filter: what differs is the data
    clip = load_clip(run.model, None, device=device, logits=_SIGMOID_START if run.loss == "siglip" else None)
    pool = decoded_pool(
        config.shards,
        config.decoded or io.join(config.out, "_decoded"),
        image_size_px=clip.image_size_px,
        tokenizer=clip.tokenizer,
        workers=config.workers,
    )
    return clip, pool


def rows_of(config: "TrainConfig", pool: DecodedPool) -> np.ndarray:
    """The subset's rows of the pool: (m,) int64. Raises UserError where there are none."""
    wanted = read_subset(config.subset)
    if config.subset_sha256 and sha256_of(config.subset) != config.subset_sha256:  # to decode a pool may take hours
        raise UserError(
            f"{config.subset}: was changed while the pool was decoded; run the same command again, with another --out"
        )
    index = index_of(wanted, pool.uids)
    if not len(index):
        raise UserError(
            f"{config.subset}: none of its {len(wanted)} uids is among the {len(pool.uids)} pairs of {config.shards}; "
            "was it made from other shards?"
        )
    return index


def run_folder(config: "TrainConfig") -> str:
    """OUT/{filter}/{scale}/seed_{N}, names made safe; another model than the scale's own stands in the scale's folder name."""
    own = config.model in (None, scale_of(config.scale).model)
    scale = config.scale if own else f"{config.scale}_{config.model}"
    return io.join(config.out, _safe(_filter_name(config)), _safe(scale), f"seed_{config.seed}")


def _filter_name(config: "TrainConfig") -> str:
    return config.filter_name or io.stem(config.subset)


def _safe(name: str) -> str:
    """A name as one path component: letters, digits, dot, dash, underscore, no dot in front."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


__all__ = ["Run", "choices", "model_and_pool", "rows_of", "run_folder"]

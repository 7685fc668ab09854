"""The training loop: open_clip's model and loss, AdamW, a rate that warms up and then stays; yields one Step after another."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pipeline.clip import Clip

# isort: split
from open_clip.loss import ClipLoss, SigLipLoss

from pipeline.train.order import Order
from pipeline.train.pool import DecodedPool
from pipeline.train.scales import Scale
from schemas.errors import UserError

_LOGIT_SCALE_LIMIT = math.log(100)  # Radford et al. 2021, section 2.5


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step: its number from 1, samples seen until then, the batch's loss before it, the rate, speed so far."""

    step: int
    samples_seen: int
    loss: torch.Tensor  # scalar, left on the device: reading it waits for the GPU
    lr: float
    images_per_s: float


def steps(clip: Clip, pool: DecodedPool, order: Order, scale: Scale, *, n_steps: int, precision: str) -> Iterator[Step]:
    """Train `clip.model` in place for n steps. Raises UserError where the loss is no longer a number."""
    model, batches = clip.model.train(), _Batches(clip, pool)
    loss_of = _loss_for(model)
    optimizer = _optimizer(model, scale)
    started = time.monotonic()
    for step in range(n_steps):
        lr = scale.learning_rate * min(1.0, (step + 1) / max(1, scale.warmup_steps))
        for group in optimizer.param_groups:
            group["lr"] = lr
        images, tokens = batches.at(order.batch(step * scale.batch_size, scale.batch_size))
        with _arithmetic(clip, precision):
            loss = loss_of(**_features(model(images, tokens)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, _LOGIT_SCALE_LIMIT)  # type: ignore[operator]
        seen = (step + 1) * scale.batch_size
        speed = seen / (time.monotonic() - started)
        yield Step(step=step + 1, samples_seen=seen, loss=loss.detach(), lr=lr, images_per_s=speed)


def finite(loss: torch.Tensor, step: int) -> float:
    """The loss as a number. Raises UserError where it is none."""
    value = float(loss)
    if not math.isfinite(value):
        raise UserError(f"step {step}: the loss is {value}; training diverged, use a lower learning rate or --precision fp32")
    return value


class _Batches:
    """Rows of the pool → normalised images (b, 3, H, W) float32 and tokens (b, L) int64, on the model's device."""

    def __init__(self, clip: Clip, pool: DecodedPool) -> None:
        self._pool, self._device = pool, clip.device
        self._mean = 255 * torch.tensor(clip.mean, device=clip.device)
        self._std = 255 * torch.tensor(clip.std, device=clip.device)

    def at(self, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        # Bytes travel to the device, not floats: a quarter of the traffic.
        images = torch.from_numpy(self._pool.images[rows]).to(self._device)
        tokens = torch.from_numpy(self._pool.tokens[rows]).to(self._device)
        return ((images.float() - self._mean) / self._std).permute(0, 3, 1, 2), tokens.long()


def _loss_for(model: Any) -> Any:
    """The sigmoid loss for a model with a logit bias (Zhai et al. 2023, SigLIP), else the softmax loss (CLIP)."""
    return SigLipLoss() if getattr(model, "logit_bias", None) is not None else ClipLoss()


def _features(output: Any) -> dict[str, torch.Tensor]:
    if isinstance(output, dict):
        return output
    return dict(zip(("image_features", "text_features", "logit_scale", "logit_bias"), output, strict=False))


def _optimizer(model: torch.nn.Module, scale: Scale) -> torch.optim.AdamW:
    """AdamW; gains, biases and the logit scale are not decayed, as in open_clip's trainer."""
    kept: list[torch.nn.Parameter] = []
    decayed: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
        (kept if plain else decayed).append(parameter)
    groups = [{"params": kept, "weight_decay": 0.0}, {"params": decayed, "weight_decay": scale.weight_decay}]
    return torch.optim.AdamW(groups, lr=scale.learning_rate, betas=(0.9, scale.beta2), eps=1e-6, fused=True)


def _arithmetic(clip: Clip, precision: str) -> AbstractContextManager[Any]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(clip.device).type, torch.bfloat16)

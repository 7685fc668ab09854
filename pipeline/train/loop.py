"""The training loop: open_clip's model and loss, AdamW, a rate that warms up and stays; yields one Step after another."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from pipeline.clip import Clip
from pipeline.train.batch_norm import has_batch_norm, shared
from pipeline.train.choices import Run
from pipeline.train.decoded.pool import DecodedPool
from pipeline.train.distributed import Processes
from pipeline.train.feeding.batches import batches
from pipeline.train.feeding.order import Order
from pipeline.train.objective import Objective, loss_for
from pipeline.train.scales import Scale
from pipeline.train.schedule import learning_rate
from schemas.errors import UsageError, UserError

_LOGIT_SCALE_LIMIT = math.log(100)  # Radford et al. 2021, section 2.5


@dataclass(frozen=True, kw_only=True)
class Step:
    """One optimiser step: its number from 1, samples seen until then, the batch's loss before it, the rate, speed so far."""

    step: int
    samples_seen: int
    loss: torch.Tensor  # scalar, of this process's rows, left on the device: reading it waits for the GPU
    lr: float
    images_per_s: float  # over all processes, since this process began to train


class Trainer:
    """A model that is trained in place, with its optimiser. Raises UsageError for a model that cannot be trained in parts."""

    def __init__(self, clip: Clip, run: Run, here: Processes) -> None:
        self.clip, self.run, self.here = clip, run, here
        if run.accumulate > 1 and has_batch_norm(clip.model):
            raise UsageError(
                f"--accumulate {run.accumulate}: {run.model} normalises over the batch (BatchNorm), which parts of it would "
                "change; leave it out, or train a ViT"
            )
        self.optimizer = optimizer_for(clip.model, run.scale)
        self._objective = Objective(
            net=_net(clip, here),
            loss=loss_for(run.loss, here),
            arithmetic=lambda: _arithmetic(clip.device, run.precision),
            parts=run.accumulate,
        )

    def step(self, images: torch.Tensor, tokens: torch.Tensor, lr: float) -> torch.Tensor:
        """Train on this process's rows of one batch; their loss before that, a scalar on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        try:
            loss = self._objective(images, tokens)
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
                raise UserError(self._too_large(len(images))) from error
            raise
        self.optimizer.step()
        with torch.no_grad():
            self.clip.model.logit_scale.clamp_(0, _LOGIT_SCALE_LIMIT)  # type: ignore[operator]
        return loss

    def _too_large(self, pairs: int) -> str:
        held = pairs // self.run.accumulate
        return (
            f"{held} pairs at a time of {self.run.model}, of a batch of {self.run.scale.batch_size}, do not fit into the memory "
            f"of {self.clip.device}; run the same command again with --accumulate {2 * self.run.accumulate} or more, which "
            "leaves the loss that of the whole batch, or with more processes (torchrun)"
        )


def steps(
    trainer: Trainer, pool: DecodedPool, order: Order, *, first_step: int = 0, n_steps: int | None = None
) -> Iterator[Step]:
    """Train from step `first_step`, from 0, to the end of the run, or for the next `n_steps` of it."""
    run, here = trainer.run, trainer.here
    size, total = run.scale.batch_size, run.n_steps
    many = total - first_step if n_steps is None else n_steps
    made = batches(
        trainer.clip,
        pool,
        order,
        first_step=first_step,
        n_steps=many,
        batch_size=size,
        rank=here.rank,
        world=here.world,
        crop_scale=run.scale.crop_scale,
    )
    trainer.clip.model.train()
    started = time.monotonic()
    for step, (images, tokens) in enumerate(made, first_step):
        peak, warmup = run.scale.learning_rate, run.scale.warmup_steps
        lr = learning_rate(step, peak=peak, warmup_steps=warmup, n_steps=total, cooldown=run.cooldown)
        loss = trainer.step(images, tokens, lr)
        speed = (step + 1 - first_step) * size / (time.monotonic() - started)
        yield Step(step=step + 1, samples_seen=(step + 1) * size, loss=loss, lr=lr, images_per_s=speed)


def finite(loss: torch.Tensor, step: int) -> float:
    """The loss as a number. Raises UserError where it is none."""
    value = float(loss)
    if not math.isfinite(value):
        raise UserError(f"step {step}: the loss is {value}; training diverged, use a lower learning rate or --precision fp32")
    return value


def optimizer_for(model: torch.nn.Module, scale: Scale) -> torch.optim.AdamW:
    """AdamW; gains, biases and the logit scale are not decayed, as in open_clip's trainer."""
    kept: list[torch.nn.Parameter] = []
    decayed: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
        (kept if plain else decayed).append(parameter)
    groups = [{"params": kept, "weight_decay": 0.0}, {"params": decayed, "weight_decay": scale.weight_decay}]
    return torch.optim.AdamW(groups, lr=scale.learning_rate, betas=(scale.beta1, scale.beta2), eps=scale.epsilon, fused=True)


@contextmanager
def settled_arithmetic(device: str, precision: str) -> Iterator[None]:
    """On a GPU: fp32 means float32 throughout, with bf16 what is left of float32 may be TF32; and a step done again gives the
    same bits, as far as torch has such kernels. On a CPU nothing is to be set.
    """
    if not device.startswith("cuda"):
        yield
        return
    backends: Any = torch.backends
    before = (backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark)
    deterministic = torch.are_deterministic_algorithms_enabled()
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = precision == "bf16"
        backends.cudnn.benchmark = False  # it chooses kernels by their speed at the moment
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        yield
    finally:
        backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32, backends.cudnn.benchmark = before
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


def _arithmetic(device: str, precision: str) -> AbstractContextManager[Any]:
    return nullcontext() if precision == "fp32" else torch.autocast(torch.device(device).type, torch.bfloat16)


def _net(clip: Clip, here: Processes) -> torch.nn.Module:
    if here.world == 1:
        return clip.model
    places = [torch.device(clip.device)] if clip.device.startswith("cuda") else None
    # Buffers are the same in all processes: statistics of batches are taken over all of them.
    return DistributedDataParallel(shared(clip.model), device_ids=places, broadcast_buffers=False, gradient_as_bucket_view=True)


__all__ = ["Step", "Trainer", "finite", "optimizer_for", "settled_arithmetic", "steps"]

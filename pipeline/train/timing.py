"""How long a run will take: a few real steps of it, timed on the machine that would train it."""

import time
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

import torch

from pipeline.devices import device_here
from pipeline.train.choices import choices, model_and_pool, rows_of
from pipeline.train.distributed import Processes
from pipeline.train.feeding.order import Order
from pipeline.train.loop import Trainer, settled_arithmetic, steps
from schemas.errors import UsageError

if TYPE_CHECKING:
    from pipeline.train import TrainConfig


@dataclass(frozen=True, kw_only=True)
class StepTimes:
    """What a run costs: `seconds_to_start` once (model, pool, first step's extra; not Python's imports), then per step."""

    seconds_per_step: float  # s, median
    seconds_to_start: float  # s
    batch_size: int  # samples per step, over all processes


def time_steps(config: "TrainConfig", *, n_steps: int) -> StepTimes:
    """Time `n_steps` steps of the run that `config` describes, after one that is not counted. Writes no run.

    The decoded pool is made where it does not stand yet; that is not counted either, as all runs share it. Raises what
    training would raise for a config that will not do, UsageError for less than one step.
    """
    if n_steps < 1:
        raise UsageError(f"{n_steps} steps to time: must be 1 or more")
    run, device = choices(config), device_here(config.device)
    model_and_pool(config, run, device)  # makes the pool, if need be
    started = time.monotonic()
    clip, pool = model_and_pool(config, run, device)
    order = Order(rows_of(config, pool), config.seed)
    marks = []
    with settled_arithmetic(device, run.precision):
        for step in steps(Trainer(clip, run, Processes()), pool, order, n_steps=n_steps + 1):
            float(step.loss)  # waits for a GPU
            marks.append(time.monotonic())
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    each = median(after - before for before, after in pairwise(marks))
    return StepTimes(seconds_per_step=each, seconds_to_start=max(0.0, marks[0] - started - each), batch_size=run.scale.batch_size)

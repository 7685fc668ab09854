"""The processes of one run: torchrun's environment → how many there are, which one this is, and what they tell one another."""

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from pipeline.devices import device_here
from schemas.errors import UsageError, UserError

Value = TypeVar("Value")
# So long a process waits at most for one that still decodes its machine's pool. torchrun ends all when one of them fails.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Process `rank` of `world`, each of which computes its slice of every batch. Process 0 alone writes."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def from_first(self, value: Value) -> Value:
        """What process 0 gave, in every process. All must call it."""
        if self.world == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def from_each(self, value: Value) -> list[Value]:
        """What each process gave, by rank, in every process. All must call it."""
        if self.world == 1:
            return [value]
        found: list[Value | None] = [None] * self.world
        distributed.all_gather_object(found, value)
        return found  # type: ignore[return-value]

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over all processes, in every process. All must call it."""
        if self.world == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total / self.world

    def require_even(self, batch_size: int, accumulate: int) -> None:
        """Raises UsageError where a batch cannot be cut into equal parts for all processes."""
        parts = self.world * accumulate
        if batch_size % parts:
            of = f"{self.world} processes × --accumulate {accumulate}"
            near = max(parts, round(batch_size / parts) * parts)
            raise UsageError(f"--batch-size {batch_size}: not a multiple of {parts} ({of}); nearest: {near}")


@contextmanager
def joined(asked_device: str, environment: Mapping[str, str] = os.environ) -> Iterator[tuple[Processes, str]]:
    """Join the processes that torchrun started for one run: this one, and its device, within the block.

    Raises UsageError for a device that not every process can have, UserError for a launcher's variables that lack something.
    """
    world = _number(environment, "WORLD_SIZE") if "RANK" in environment else 1
    device = device_here(asked_device)
    if world == 1:
        yield Processes(), device
        return
    _require_own_gpu(asked_device, device, environment)
    missing = [name for name in ("MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    if missing:
        raise UserError(f"WORLD_SIZE={world}, but no {' and '.join(missing)}: start the processes of one run with torchrun")
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    with warnings.catch_warnings():
        # Names that torch is about to change, in open_clip's losses and here: nothing that a user could mend.
        warnings.filterwarnings("ignore", "torch.distributed.nn.functional|`broadcast_buffers` is deprecated", FutureWarning)
        yield Processes(rank=distributed.get_rank(), world=distributed.get_world_size()), device
    distributed.destroy_process_group()  # not after an error: NCCL would wait for processes that are stuck


def _require_own_gpu(asked: str, device: str, environment: Mapping[str, str]) -> None:
    if asked.startswith("cuda:"):
        raise UsageError(f"--device {asked}: names one GPU for all processes of torchrun; give cuda or auto")
    local, gpus = _number(environment, "LOCAL_WORLD_SIZE"), torch.cuda.device_count()
    if device.startswith("cuda") and local > gpus:
        raise UsageError(f"torchrun started {local} processes here, and there are {gpus} GPUs; give --nproc-per-node {gpus}")


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "1")
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise UserError(f"{name}={value}: a number from 1 is expected there; start the processes of one run with torchrun")
    return int(value)


__all__ = ["Processes", "joined"]

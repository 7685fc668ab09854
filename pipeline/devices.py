"""Which device this process computes on: as asked, or a GPU of its own as far as those at work on this machine have one each."""

import os
import sys
from typing import Any

from pipeline.shares import local_rank
from pipeline.workers import worker_index
from schemas.errors import UserError


def device_here(asked: str, *, workers: int = 1) -> str:
    """`device_for` this process, which is one of `workers` that one command has started on this machine."""
    if asked not in ("auto", "cuda"):
        return asked
    import torch

    return device_for(
        asked,
        gpus=torch.cuda.device_count(),
        address=spark_gpu_address(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        local_rank=local_rank(os.environ),
        worker=worker_index(),
        workers=workers,
    )


def device_for(
    asked: str,
    *,
    gpus: int,
    address: str | None = None,
    visible: str = "",
    local_rank: int | None = None,
    worker: int | None = None,
    workers: int = 1,
) -> str:
    """The device of a process: `asked`, or for `auto` and `cuda` a GPU of those that torch sees here; without one `auto` is cpu.

    `gpus`: how many torch sees. `address`: the GPU that Spark gave this task, as `visible`, the value of CUDA_VISIBLE_DEVICES,
    would name it. `local_rank`: which of a launcher's processes on this machine this is; `worker`: which of the `workers`
    processes that such a one has started. With more processes than GPUs, several share one. Raises UserError where Spark gave a
    GPU that torch does not see.
    """
    if asked not in ("auto", "cuda"):
        return asked
    if gpus == 0:
        return "cpu" if asked == "auto" else asked
    if address is not None:
        return f"cuda:{_place_of(address, gpus, visible)}"
    return f"cuda:{((local_rank or 0) * workers + (worker or 0) % workers) % gpus}"


def _place_of(address: str, gpus: int, visible: str) -> int:
    """The number by which torch knows a GPU: it counts only those in CUDA_VISIBLE_DEVICES."""
    named = [name.strip() for name in visible.split(",")]
    if address in named:
        return named.index(address)
    if address.isdecimal() and int(address) < gpus:
        return int(address)
    if gpus == 1:
        return 0  # a container that holds this one only, while Spark counts the machine's
    raise UserError(
        f"Spark gave this task GPU {address}, and torch sees {gpus} here (CUDA_VISIBLE_DEVICES={visible}); let Spark's discovery "
        "script name the GPUs of the executor by their numbers there"
    )


def spark_gpu_address() -> str | None:
    """The GPU that Spark gave the task in which this process is; None outside of a task, and where tasks are given none.

    A task runs where Spark's modules are loaded already: nothing is imported here that scoring without Spark does not need.
    """
    task = _spark_task()
    given = task.resources().get("gpu") if task else None
    return str(given.addresses[0]) if given and given.addresses else None


def cores_here(*, workers: int = 1) -> int:
    """How many cores are for this process, which is one of `workers` that one command has started on this machine.

    Of those it may run on, what torchrun's other processes here leave it; in a Spark task, the task's.
    """
    task = _spark_task()
    own = task.cpus() if task else len(os.sched_getaffinity(0)) // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    return max(1, own // workers)


def _spark_task() -> Any:
    """The task in which this process is, None outside of one."""
    if "pyspark" not in sys.modules:
        return None
    from pyspark import TaskContext

    return TaskContext.get()


__all__ = ["cores_here", "device_for", "device_here", "spark_gpu_address"]

"""A stage's work, and the hours it may take → the executors to ask the cluster for."""

import math
from dataclasses import dataclass

from pipeline.plan import PlanConfig
from pipeline.plan.figures import told, value
from pipeline.plan.stage_costs import StageCost

# The JVM's heap, GB per core, as jobs/conf has it: it holds and sorts rows where there is a shuffle, and little elsewhere.
_HEAP_GB_PER_CORE = {"extract": 1.0, "pool": 1.0, "download": 0.5, "dedup": 1.0, "filter": 1.0, "reshard": 1.0, "release": 1.0}
_HEAP_GB_WITH_GPU = 2
_ROOM = 1.25  # asked for, of what was measured: other inputs, and what the allocator keeps


@dataclass(frozen=True, kw_only=True)
class Executors:
    """How many, with how many cores and GPUs each, and their memory: the JVM's heap, and Python's beside it."""

    count: int
    cores: int
    gpus: int
    heap_gb: int
    overhead_gb: int
    memory_mb_per_core: float


def executors(cost: StageCost, config: PlanConfig) -> Executors:
    """What does the stage in `--hours`, `--busy` of the time at work; never more tasks at once than the stage has parts."""
    if cost.stage == "score":
        return _with_gpus(cost, config)
    wanted = cost.core_h / (config.hours * config.busy * config.cores)
    return Executors(
        count=max(1, math.ceil(min(wanted, cost.parts / config.cores))),
        cores=config.cores,
        gpus=0,
        heap_gb=math.ceil(config.cores * _HEAP_GB_PER_CORE[cost.stage]),
        overhead_gb=overhead_gb(cost.stage, config.cores),
        memory_mb_per_core=value(f"{cost.stage}.memory_mb"),
    )


def overhead_gb(stage: str, cores: int) -> int:
    """Memory beside the heap for an executor of so many cores, GB: what was measured and what hostile input may add, and room."""
    figures = told()[stage]
    per_core = per_executor = 0.0
    for name in ("memory_mb", "spare_mb"):
        if name not in figures:
            continue
        if figures[name]["unit"] == "MB per executor":
            per_executor += figures[name]["value"]
        else:
            per_core += figures[name]["value"]
    return math.ceil(_ROOM * (cores * per_core + per_executor) / 1000)


def _with_gpus(cost: StageCost, config: PlanConfig) -> Executors:
    wanted = cost.gpu_h / (config.hours * config.busy)
    return Executors(
        count=max(1, math.ceil(min(wanted, cost.parts))),
        cores=config.cores_per_gpu,
        gpus=1,
        heap_gb=_HEAP_GB_WITH_GPU,
        overhead_gb=overhead_gb("score", config.cores_per_gpu),
        memory_mb_per_core=value("score.memory_mb") / config.cores_per_gpu,
    )

"""A config → the plan: every stage's cost and executors, their totals, and what has to be known to believe it."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.plan import PlanConfig
from pipeline.plan.executors import Executors, executors
from pipeline.plan.figures import Figure, figure, told
from pipeline.plan.gpus import gflop_per_pair, gpu_s_per_pair
from pipeline.plan.stage_costs import StageCost, stage_costs

# What is summed up over stages; rows and memory are not.
ADDED = (
    "core_h",
    "gpu_h",
    "shuffle_bytes",
    "stored_bytes",
    "web_bytes",
    "moved_bytes",
    "objects",
    "store_writes",
    "store_reads",
)
_NOT_ASSUMED = {"workers", "tolerate_failed", "format"}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What was asked, stage by stage what it costs, the sums, and notes on what is calculated and not measured."""

    asked: dict[str, Any]
    stages: tuple[StageCost, ...]
    executors: tuple[Executors, ...]
    totals: dict[str, float]
    notes: tuple[str, ...]


def planned(config: PlanConfig) -> Plan:
    """The plan for these sizes."""
    costs = tuple(stage_costs(config))
    asked = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in _NOT_ASSUMED}
    return Plan(
        asked=asked,
        stages=costs,
        executors=tuple(executors(cost, config) for cost in costs),
        totals={name: sum(getattr(cost, name) for cost in costs) for name in ADDED},
        notes=tuple(_notes(config, {cost.stage: cost for cost in costs})),
    )


def every_figure() -> list[Figure]:
    """All figures of rows, in the order of the file."""
    stages = [stage for stage, figures in told().items() if isinstance(figures, dict) and stage not in ("gpus", "models")]
    return [figure(f"{stage}.{name}") for stage in stages for name in told()[stage]]


def _notes(config: PlanConfig, costs: dict[str, StageCost]) -> Iterator[str]:
    if config.wats is None and config.pairs is not None:
        wats = max(config.pairs / (config.pool_share * config.candidates_per_wat), 1)
        yield f"So many pairs come of about {wats:,.0f} WATs; what extract and pool cost, `--wats {wats:.0f}` says."
    else:
        yield f"pool: --partitions {costs['pool'].parts:.0f} makes files of a million rows."
    peak = told()["gpus"][config.gpu]
    work = " + ".join(f"{model} {gflop_per_pair(model):.1f}" for model in config.models)
    by_gpu = gpu_s_per_pair(config.models, config.gpu, config.utilisation)
    each = 3600 * costs["score"].gpu_h / costs["score"].rows_in
    yield (
        f"GPU hours are calculated, not measured: {work} GFLOP per pair at {config.utilisation:.0%} of {peak['peak_tflops']:g} "
        f"TFLOP/s ({peak['source']}) are {1 / by_gpu:,.0f} pairs/s per {config.gpu}"
        + ("." if each <= by_gpu * 1.0001 else f"; {config.cores_per_gpu} cores decode {1 / each:,.0f}, which is what counts.")
    )
    yield (
        f"dedup is extrapolated from a million rows as rows^{told()['dedup']['growth']['value']:g}: calculated, not measured. "
        "Its shuffle is what it lays out beside its output meanwhile."
    )
    yield "Requests are those counted for small parts, and one for every 50 MiB: calculated."
    assumed = ("candidates_per_wat", "wat_mb", "pool_share") if config.wats is not None else ()
    names = (*assumed, "success", "https", "utilisation", "busy")
    yield "Assumed: " + ", ".join(f"--{name.replace('_', '-')} {getattr(config, name):g}" for name in names) + "."
    yield "Not in it: what a cluster's start and its idle machines cost, retries, and training."

"""From the options of rank --budget to its schedule: the pool decoded, the controls made, runs timed, the time split."""

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from pipeline import io
from pipeline.manifest import output_config
from pipeline.rank.budget.controls import Arm, make_arms
from pipeline.rank.budget.costs import decode_pool, time_scale
from pipeline.rank.budget.durations import seconds_of, time_text
from pipeline.rank.budget.plan import LEAST_SEEDS, Cost, Plan, plan
from pipeline.rank.budget.plan_file import Schedule, write_plan
from pipeline.rank.budget.power import assumed_noise, measured_noise
from pipeline.rank.budget.spent import Spent
from pipeline.rank.budget.standing import first_free_seed, require_same_tasks, standing_results
from pipeline.subset_file import read_subset
from pipeline.train import TrainConfig
from schemas.errors import UserError

if TYPE_CHECKING:
    from pipeline.rank import RankConfig

Tasks = dict[str, tuple[str, int]]  # task → the digest of its files, and how many items it has

_SUBSETS = "_subsets"  # below the models: where controls stand
_TIMING = "_timing"  # below the models: runs that are only timed, removed afterwards
# Of the budget: kept for the ranking, and for runs that take longer than those that were timed.
_RESERVE_SHARE, _RESERVE_LEAST_S = 0.05, 2.0


def make_schedule(config: "RankConfig", spent: Spent, processes: ProcessPoolExecutor) -> Schedule:
    """Decode, make the controls, time, plan; what was planned is written to plan.json.

    Raises UserError where not even the least fits, and where what stands below the models could not be ranked with it.
    """
    budget_s = seconds_of(config.budget or "")
    with _timing_folder(config) as folder:
        standing = standing_results(config.models)
        decoded_s, uids = _decode(config, config.scale[0], folder, processes)
        arms = make_arms(config.subset, uids, io.join(config.models, _SUBSETS))
        first_seed = first_free_seed(config.models, arms, config.scale)
        found, costs, tasks = _plan(config, spent, arms, folder, processes)
    require_same_tasks(standing, {task: digest for task, (digest, _) in tasks.items()}, str(config.eval))
    prepared_s = spent.here_s
    if not found.designs:
        raise UserError(_too_short(config, costs[config.scale[0]], len(arms), prepared_s=prepared_s, least_s=found.least_s))
    items = {task: n for task, (_, n) in tasks.items()}
    noise = {d.scale: measured_noise(standing, d.scale, d.samples_seen) or assumed_noise(items) for d in found.designs}
    schedule = Schedule(
        options=output_config(config),
        budget_s=budget_s,
        prepared_s=prepared_s,
        decoded_s=decoded_s,
        reserve_s=reserve_s(budget_s),
        workers=config.workers,
        arms=tuple(arms),
        costs=costs,
        designs=found.designs,
        first_seed=first_seed,
        noise=noise,
    )
    write_plan(schedule, config.out)
    return schedule


def settings_of(config: "RankConfig", arm: Arm, scale: str, **more: object) -> TrainConfig:
    """The run of an arm at a scale."""
    told = {"shards": config.shards, "device": config.device, "precision": config.precision}
    decoded = io.join(config.models, "_decoded")
    return TrainConfig(**{**told, "out": config.models, "decoded": decoded, **more}, subset=arm.subset, scale=scale)  # type: ignore[arg-type]


def reserve_s(budget_s: float) -> float:
    """What is kept of the budget."""
    return max(_RESERVE_LEAST_S, _RESERVE_SHARE * budget_s)


@contextmanager
def _timing_folder(config: "RankConfig") -> Iterator[str]:
    """A local folder for runs that are only timed; gone afterwards, with what a killed command left there."""
    folder = io.join(config.models, _TIMING)
    place = io.url_to_fs(folder)[1]
    shutil.rmtree(place, ignore_errors=True)
    try:
        io.make_folder(folder)
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _decode(config: "RankConfig", scale: str, folder: str, processes: ProcessPoolExecutor) -> tuple[float, np.ndarray]:
    """Decode the pool as the models of a scale take it; seconds, and its (n,) `u8,u8` uids."""
    uids = io.join(folder, "uids.npy")
    settings = settings_of(config, Arm(name="", subset=config.subset[0], rows=0), scale, workers=config.workers)
    return processes.submit(decode_pool, settings, uids).result(), read_subset(uids)


def _plan(
    config: "RankConfig", spent: Spent, arms: Sequence[Arm], folder: str, processes: ProcessPoolExecutor
) -> tuple[Plan, dict[str, Cost], Tasks]:
    """Time scale after scale and plan with them: another is timed only when those before it have all they may have."""
    budget_s, largest = seconds_of(config.budget or ""), max(arms, key=lambda arm: arm.rows)
    costs: dict[str, Cost] = {}
    for scale in config.scale:
        _decode(config, scale, folder, processes)  # may take larger images than the scales before
        settings = settings_of(config, largest, scale, out=io.join(folder, scale))
        costs[scale], tasks = time_scale(processes, settings, str(config.eval), config.workers)
        left_s = budget_s - spent.here_s - reserve_s(budget_s)
        found = plan(costs, left_s, arms=len(arms), workers=config.workers, most_seeds=config.most_seeds)
        if not found.complete:
            break
    return found, costs, tasks


def _too_short(config: "RankConfig", cost: Cost, arms: int, *, prepared_s: float, least_s: float) -> str:
    work_s = prepared_s + least_s
    least = time_text(max(work_s + _RESERVE_LEAST_S, work_s / (1 - _RESERVE_SHARE)))
    return (
        f"--budget {config.budget}: too short for {arms} arms at scale {config.scale[0]}: {LEAST_SEEDS} seeds on "
        f"{cost.least_samples:,} samples each take {time_text(least_s)} with --workers {config.workers}, after "
        f"{time_text(prepared_s)} of decoding and timing; the least budget is {least}, or give fewer subsets or more workers"
    )

"""What a run costs here: the pool decoded, then a short run and a few steps timed, in as many processes at once as will train."""

import json
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

from pipeline import io
from pipeline.evaluate import EvaluateConfig
from pipeline.evaluate import run as evaluate
from pipeline.rank.budget.plan import Cost, least_samples
from pipeline.rank.running import take_place
from pipeline.subset_file import write_subset
from pipeline.train import TrainConfig
from pipeline.train import run as train
from pipeline.train.scales import checkpoint_steps, scale_of

_LEAST_STEPS, _MOST_STEPS = 3, 40
_RESULTS = "timed.jsonl"  # no name that `rank` looks for, should they be left behind
_TIMED_S = 2.0  # what the timed steps should take together, for steps that are not too slow


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One process's times in s, and what it was tested on: `tasks` has the digest and the number of items of each."""

    seconds_per_step: float
    seconds_beside: float
    tasks: dict[str, tuple[str, int]]


def decode_pool(settings: TrainConfig, uids: str) -> float:
    """Decode the pool of the run's scale where it does not stand, and write its uids to a file; seconds. In a worker."""
    from pipeline.train.choices import choices, model_and_pool

    started = time.monotonic()
    _, pool = model_and_pool(settings, choices(settings), "cpu")
    write_subset(uids, pool.uids)
    return time.monotonic() - started


def time_scale(
    processes: ProcessPoolExecutor, settings: TrainConfig, eval_sets: str, workers: int
) -> tuple[Cost, dict[str, tuple[str, int]]]:
    """The cost of a run like `settings`, the slowest of as many timings at once as there are workers; and the tasks."""
    futures = [
        processes.submit(time_run, replace(settings, out=io.join(settings.out, f"worker_{number}")), eval_sets, workers)
        for number in range(workers)
    ]
    timings = [future.result() for future in futures]
    scale = scale_of(settings.scale)
    cost = Cost(
        seconds_per_step=max(timing.seconds_per_step for timing in timings),
        seconds_beside=max(timing.seconds_beside for timing in timings),
        batch_size=scale.batch_size,
        own_samples=scale.samples_seen,
        least_samples=least_samples(scale.samples_seen, scale.batch_size, scale.warmup_steps),
    )
    return cost, timings[0].tasks


def time_run(settings: TrainConfig, eval_sets: str, workers: int) -> Timing:
    """Train and evaluate a run of a few steps, with as many checkpoints as a whole one, and time steps alone. In a worker."""
    from pipeline.evaluate.results import read_results
    from pipeline.train.reference import run_folder, time_steps

    take_place(settings.device, workers)
    steps = _short_steps(settings.scale)
    settings = replace(settings, samples_seen=steps * scale_of(settings.scale).batch_size)
    folder = run_folder(settings)
    out = io.join(folder, _RESULTS)
    started = time.monotonic()
    train(settings)
    evaluate(EvaluateConfig(model=folder, eval=eval_sets, out=out, device=settings.device))
    took = time.monotonic() - started
    times = time_steps(settings, n_steps=_steps_to_time(folder))
    results = read_results(out)
    return Timing(
        seconds_per_step=times.seconds_per_step,
        seconds_beside=max(0.0, took - steps * times.seconds_per_step),
        tasks={result.task: (result.digest, len(result.items[result.main_metric])) for result in results},
    )


def _short_steps(name: str) -> int:
    """The fewest steps, a power of two from four on, at which a run has as many checkpoints as one of the scale's length."""
    scale, steps = scale_of(name), 4
    while len(checkpoint_steps(scale, steps * scale.batch_size)) < len(checkpoint_steps(scale, scale.samples_seen)):
        steps *= 2
    return steps


def _steps_to_time(folder: str) -> int:
    last = json.loads(io.read_bytes(io.join(folder, "metrics.jsonl")).splitlines()[-1])
    told = json.loads(io.read_bytes(io.join(folder, "train.json")))
    each = told["hyper_parameters"]["batch_size"] / last["images_per_s"]
    return max(_LEAST_STEPS, min(_MOST_STEPS, int(_TIMED_S / each)))

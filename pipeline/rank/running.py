"""Many reference models: each run is trained and evaluated in a process of its own, as many at once as there are workers."""

from collections.abc import Sequence
from concurrent.futures import as_completed

from pipeline.evaluate import EvaluateConfig
from pipeline.evaluate import run as evaluate
from pipeline.progress import progress
from pipeline.train import TrainConfig
from pipeline.train import run as train
from pipeline.workers import worker_processes


def train_and_evaluate(runs: Sequence[TrainConfig], eval_sets: str, *, workers: int) -> None:
    """Train and evaluate every run that does not stand yet. All read one decoded pool, which the first makes.

    Raises what the first run that fails raises.
    """
    with worker_processes(workers) as processes:
        futures = [processes.submit(_train_one, settings, eval_sets, workers) for settings in runs]
        for future in progress(as_completed(futures), total=len(futures), label="train and evaluate", unit="run"):
            future.result()


def _train_one(settings: TrainConfig, eval_sets: str, workers: int) -> None:
    import torch

    from pipeline.train.reference import run_folder

    if workers > 1:
        torch.set_num_threads(1)  # as many runs at once as there are cores: threads of one would take another's
    train(settings)
    evaluate(EvaluateConfig(model=run_folder(settings), eval=eval_sets, device=settings.device))

"""Many reference models: each run is trained and evaluated in a process of its own, as many at once as there are workers.

Runs come in rounds, which are begun in order: so whatever was cut off, all rounds before stand whole.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from pipeline.devices import cores_here, device_here
from pipeline.evaluate import EvaluateConfig
from pipeline.evaluate import run as evaluate
from pipeline.progress import progress
from pipeline.train import TrainConfig
from pipeline.train import run as train
from pipeline.workers import worker_processes
from schemas.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A run that a worker is at: its round's number, and when it began, by time.monotonic() in s."""

    round: int
    settings: TrainConfig
    since: float


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that stands, and how long it took, in s."""

    round: int
    settings: TrainConfig
    seconds: float


MayBegin = Callable[[int, Sequence[Begun]], bool]  # a round's number, and the runs that are under way


def train_and_evaluate(runs: Sequence[TrainConfig], eval_sets: str, *, workers: int) -> None:
    """Train and evaluate every run that does not stand yet. All read one decoded pool, which the first makes.

    On GPUs the workers share out the cards; with one worker, or one card and one worker, one run follows another. Raises
    UserError naming the filter, scale and seed of the first run that fails.
    """
    with worker_processes(workers) as processes:
        ended = in_rounds(processes, [runs], eval_sets, workers=workers)
        for _ in progress(ended, total=len(runs), label="train and evaluate", unit="run"):
            pass


def in_rounds(
    processes: ProcessPoolExecutor,
    rounds: Sequence[Sequence[TrainConfig]],
    eval_sets: str,
    *,
    workers: int,
    may_begin: MayBegin = lambda _number, _running: True,
) -> Iterator[Ended]:
    """The runs as they end. A round is begun when all runs before it are handed out and a worker is free, if `may_begin` it.

    The first round that may not begin ends it all, once the runs under way have ended. Raises as `train_and_evaluate` does.
    """
    numbers, waiting = iter(range(len(rounds))), deque[tuple[int, TrainConfig]]()
    running: dict[Future[None], Begun] = {}
    more = True
    while running or more:
        while more and len(running) < workers:
            if waiting:
                number, settings = waiting.popleft()
                future = processes.submit(train_one, settings, eval_sets, workers)
                running[future] = Begun(round=number, settings=settings, since=time.monotonic())
                continue
            following = next(numbers, None)
            more = following is not None and may_begin(following, tuple(running.values()))
            if following is not None and more:
                waiting.extend((following, settings) for settings in rounds[following])
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield _ended(future, running)


def _ended(future: "Future[None]", running: "dict[Future[None], Begun]") -> Ended:
    begun = running[future]
    try:
        future.result()
    except BrokenProcessPool as error:
        names = ", ".join(name_of(each.settings) for each in running.values())
        raise UserError(
            f"a worker process died (killed, or out of memory) while these were at work: {names}; "
            "run the same command again to go on, with fewer --workers if memory ran out"
        ) from error
    except UserError as error:
        raise type(error)(f"{name_of(begun.settings)}: {error}") from error
    except Exception as error:
        raise UserError(
            f"{name_of(begun.settings)}: {type(error).__name__}: {error}; `webpairs train` with that subset, scale and seed "
            "shows where it came from"
        ) from error
    del running[future]
    return Ended(round=begun.round, settings=begun.settings, seconds=time.monotonic() - begun.since)


def name_of(settings: TrainConfig) -> str:
    """The run as an error names it."""
    name = settings.filter_name or settings.subset.rstrip("/").rsplit("/", 1)[-1].removesuffix(".npy")
    return f"{name}, scale {settings.scale}, seed {settings.seed}"


def train_one(settings: TrainConfig, eval_sets: str, workers: int) -> None:
    """Train and evaluate one run, in a process that is one of so many workers."""
    from pipeline.train.reference import run_folder

    take_place(settings.device, workers)
    train(settings)
    evaluate(EvaluateConfig(model=run_folder(settings), eval=eval_sets, device=settings.device))


def take_place(device: str, workers: int) -> None:
    """Give this process, one of so many workers, its share of the cores, and of the GPUs for `auto` and `cuda`.

    Its card is then the only one that it sees, and the run's own device stays as it was given: a run that goes on in another
    worker is still the same run.
    """
    import torch

    if workers > 1:  # each with its share of the cores: threads of one would take another's
        torch.set_num_threads(min(torch.get_num_threads(), cores_here(workers=workers)))
    place = device_here(device, workers=workers)
    if device in ("auto", "cuda") and place.startswith("cuda:") and torch.cuda.device_count() > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_as(int(place.removeprefix("cuda:")), os.environ)


def visible_as(card: int, environ: Mapping[str, str]) -> str:
    """What CUDA_VISIBLE_DEVICES calls the card that torch has under that number."""
    visible = [name.strip() for name in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return visible[card] if visible else str(card)

"""The sides of the train benchmark: `webpairs train` and open_clip's trainer on the same shards, model, cores and samples.

In: a pool and a number of samples. Out: what whole commands cost, and what the samples cost that a long run has beyond a short
one: start-up, imports and making the model fall out. open_clip's trainer gets DataComp's arguments, as --engine open_clip does.
"""

import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.places import REPOSITORY
from bench.train_shards import Pool
from bench.tree import Cost, cost_of
from pipeline.train import TrainConfig
from pipeline.train.choices import choices
from pipeline.train.open_clip_trainer.command import plan_of, trainer_command

OURS, PEER = "ours", "open_clip"
SCALE = "demo"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs happen: a folder for what they write, the cores they may use, and the model's threads, 0: the cores left."""

    scratch: Path
    cores: Collection[int]
    threads: int = 0


class Load(NamedTuple):
    """What is run: a model's training on a pool, for few samples and for many."""

    pool: Pool
    few: int
    many: int


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A side: its name, its command for (pool, samples seen, folder), processes beside the one that trains; `prepares`: it
    first makes what later runs share."""

    name: str
    command: Callable[[Pool, int, Path], list[str]]
    beside: int = 0
    prepares: bool = False


def webpairs(decoders: int) -> Contender:
    """`webpairs train`, with so many processes that decode its pool, which stands beside the runs' folders."""

    def command(pool: Pool, samples: int, out: Path) -> list[str]:
        words = ["--shards", str(pool.folder), "--subset", str(pool.subset("all")), "--scale", SCALE, "--device", "cpu"]
        more = ["--samples-seen", str(samples), "--out", str(out), "--decoded", str(out.parent / "decoded")]
        return [sys.executable, "-m", "pipeline.cli", "train", *words, *more, "--workers", str(decoders)]

    return Contender(name=OURS, command=command, prepares=True)


def open_clip(loaders: int) -> Contender:
    """open_clip's trainer with that many processes that decode."""

    def command(pool: Pool, samples: int, out: Path) -> list[str]:
        what = {"shards": str(pool.folder), "subset": str(pool.subset("all")), "samples_seen": samples, "workers": loaders}
        config = TrainConfig(**what, scale=SCALE, out=str(out), engine="open_clip", device="cpu")
        run = choices(config)
        return trainer_command(config, run, plan_of(config, run), train_data=pool.braces, logs=str(out))

    return Contender(name=f"{PEER}, {loaders} loader{'s' * (loaders > 1)}", command=command, beside=loaders)


def rounds_of(sides: Sequence[Contender], load: Load, place: Place, rounds: int) -> dict[str, list[dict[str, Any]]]:
    """Answers by side, a run of each per round, in turn."""
    answers: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides:
            answers[side.name].append(measured(side, load, place))
        said = ", ".join(f"{name} {runs[-1]['wall_s']:.1f} ({runs[-1]['steady_per_s']:.0f}/s)" for name, runs in answers.items())
        print(f"  round {number + 1} of {rounds}, s (images/s without start-up): {said}", flush=True)
    return answers


def measured(side: Contender, load: Load, place: Place) -> dict[str, Any]:
    """A run of many samples from nothing, and what the samples cost that it has beyond one of few."""
    folder = place.scratch / side.name.replace(" ", "_").replace(",", "")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    whole = _run(side, load.pool, load.many, folder / "whole", place)
    short = _run(side, load.pool, load.few, folder / "short", place)
    again = _run(side, load.pool, load.many, folder / "again", place) if side.prepares else whole
    samples = load.many - load.few
    return {
        "wall_s": whole.wall_s,
        "cpu_s": whole.total_s,
        "per_s": load.many / whole.wall_s,
        "again_s": again.wall_s,
        "steady_per_s": samples / (again.wall_s - short.wall_s),
        "steady_cpu_ms": 1e3 * (again.total_s - short.total_s) / samples,
        "start_s": short.wall_s,
        "peak_pss_mb": whole.peak_pss_mb,
    }


def _run(side: Contender, pool: Pool, samples: int, out: Path, place: Place) -> Cost:
    out.mkdir()
    command, log = side.command(pool, samples, out), out.with_suffix(".log")
    # Threads of the model that have no core of their own would wait for one another, for longer than they compute.
    env = {"OMP_NUM_THREADS": str(place.threads or max(1, len(place.cores) - side.beside))}
    return cost_of(command, folder=REPOSITORY, log=log, env=env, cores=place.cores)

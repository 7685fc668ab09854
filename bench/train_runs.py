"""Twelve reference models in one go, as a side of the train benchmark has them: `python -m bench.train_runs SIDE FILE.json`.

FILE.json: shards, subsets, seeds, samples_seen, out, eval_sets, workers. SIDE is "ours" (decode once, train and evaluate, as many
at once as there are workers) or "open_clip" (reshard each subset, then train; as many at once, and nothing is evaluated).
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.train import TrainConfig


def ours(asked: Mapping[str, Any]) -> None:
    """Our runs, through what `rank --budget` and the demo use."""
    from pipeline.rank.running import train_and_evaluate

    train_and_evaluate(list(_configs(asked, "native", workers=1)), asked["eval_sets"], workers=asked["workers"])


def open_clip(asked: Mapping[str, Any]) -> None:
    """open_clip's runs: one loader each, one thread each, as many at once as there are cores, which here is its fastest."""
    from pipeline.train.choices import choices
    from pipeline.train.open_clip_trainer.command import plan_of, shards_in_braces, trainer_command

    def reshard(subset: str) -> None:
        out = f"{asked['out']}/resharded/{Path(subset).stem}"
        words = ["-i", asked["shards"], "-o", out, "-s", subset]
        _run([sys.executable, "-m", "pipeline.cli", "reshard", *words])

    def train(config: TrainConfig) -> None:
        run = choices(config)
        folder = Path(asked["out"], "resharded", run.filter)
        data = shards_in_braces(str(folder), len(list(folder.glob("*.tar"))))
        _run(trainer_command(config, run, plan_of(config, run), train_data=data, logs=f"{config.out}/{run.filter}_{config.seed}"))

    with ThreadPoolExecutor(asked["workers"]) as threads:
        list(threads.map(reshard, asked["subsets"]))
        list(threads.map(train, _configs(asked, "open_clip", workers=1)))


def _configs(asked: Mapping[str, Any], engine: Any, *, workers: int) -> Iterator[TrainConfig]:
    for subset in asked["subsets"]:
        for seed in asked["seeds"]:
            yield TrainConfig(
                shards=asked["shards"],
                subset=subset,
                scale="demo",
                out=asked["out"],
                samples_seen=asked["samples_seen"],
                seed=seed,
                engine=engine,
                workers=workers,
                device="cpu",
            )


def _run(command: Sequence[str]) -> None:
    ran = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{command}: status {ran.returncode}\n{ran.stderr[-3000:]}")


if __name__ == "__main__":
    {"ours": ours, "open_clip": open_clip}[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))

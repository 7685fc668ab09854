"""A plan of runs (JSON) → trained and evaluated models, in a process that is measured: `python -m bench.rank_runs PLAN.json`."""

import json
import sys
from pathlib import Path

from pipeline.rank.running import train_and_evaluate
from pipeline.train import TrainConfig


def main(path: str) -> None:
    """Train and evaluate all runs of the plan that do not stand yet."""
    plan = json.loads(Path(path).read_text())
    runs = [TrainConfig(**{**run, "checkpoints": tuple(run["checkpoints"])}) for run in plan["runs"]]
    train_and_evaluate(runs, plan["eval_sets"], workers=plan["workers"])


if __name__ == "__main__":
    main(sys.argv[1])

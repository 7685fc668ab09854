"""Pool and truth → subsets, models, ranking: each stage as the command line runs it, its cost noted, done once."""

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.places import REPOSITORY
from bench.tree import cost_of
from filters.measured import threshold_at
from schemas.scores import CLIP_COLUMN

COLUMN = "dfn"  # scores stand in clip_dfn_similarity_score
ORACLE = "oracle"
FILTERS = ("basic_filter", "clip_score", "webpairs")  # those that models are trained for, besides no_filter and the oracle
CLIP_FRACTION = 0.3  # what DataComp publishes for its own pools
# A small CLIP finds most pictures alike: at the recipe's own .97 a third of the pool would be copies.
_COPY_COSINE, _COPY_BITS = 0.995, 2
# A third of the pairs are Tiny-ImageNet's, whose texts are few templates over 200 classes: many true texts stand beside more
# than the 10 images that the recipe allows.
_MOST_IMAGES_PER_TEXT = 40


class Folder:
    """A data root of the usual layout, and beside it what this benchmark starts from."""

    def __init__(self, root: Path) -> None:
        self.root = root
        start = root / "0_real"
        self.seed_shards, self.seed_subset = start / "seed_shards", start / "seed.npy"
        self.eval_sets, self.truth = start / "eval", start / "truth.parquet"
        self.scoring_model, self.checkpoint = start / "scoring_model", start / "scoring_model.pt"
        self.costs, self.logs = start / "costs.json", start / "logs"
        self.shards, self.scores = root / "3_shards", root / "4_scores"
        self.duplicates, self.contamination = root / "4_duplicates", root / "4_contamination"
        self.subsets, self.models, self.ranking = root / "5_subsets", root / "6_models", root / "7_ranking"


@dataclass(frozen=True, kw_only=True)
class Training:
    """How reference models are trained: scale → samples seen; seeds; processes at once; the device that torch is told."""

    samples_seen: Mapping[str, int]
    seeds: int
    workers: int
    device: str
    scoring: tuple[str, int]  # scale and samples of the scoring model
    checkpoints: tuple[float, ...]  # shares of samples_seen at which a model is evaluated


class Stages:
    """Runs commands one after another, and keeps what each cost in `costs.json`."""

    def __init__(self, at: Folder) -> None:
        self.at = at
        self.costs: dict[str, dict[str, Any]] = json.loads(at.costs.read_text()) if at.costs.is_file() else {}
        at.logs.mkdir(parents=True, exist_ok=True)

    def webpairs(self, stage: str, command: str, /, **options: Any) -> None:
        """`webpairs COMMAND --option value …`, noted under the name `stage`."""
        words = [word for key, value in options.items() for word in _words(key, value)]
        self.run(stage, [sys.executable, "-m", "pipeline.cli", command, *words])

    def run(self, stage: str, command: Sequence[str]) -> None:
        """A command that costs something, unless the same one has been done. Raises SystemExit where it fails."""
        shown = [word.replace(str(self.at.root), "ROOT") for word in command[1:]]
        if self.costs.get(stage, {}).get("command") == shown:
            return
        cost = cost_of(command, folder=REPOSITORY, log=self.at.logs / f"{stage}.log")
        self.costs[stage] = {"command": shown, "wall_s": cost.wall_s, "cpu_s": cost.total_s, "peak_pss_mb": cost.peak_pss_mb}
        self.at.costs.write_text(json.dumps(self.costs, indent=1))
        print(f"{stage}: {cost.wall_s:.0f} s, {cost.total_s:.0f} CPU s", flush=True)


def _words(key: str, value: Any) -> list[str]:
    values = value if isinstance(value, tuple | list) else [value]
    return [f"--{key.replace('_', '-')}", *map(str, values)]


def score_and_mark(stages: Stages, training: Training) -> None:
    """Train the scoring model on the clean part; score the pool; mark its copies and what is near an evaluation image."""
    at, (scale, samples) = stages.at, training.scoring
    stages.webpairs(
        "train the scoring model",
        "train",
        shards=at.seed_shards,
        subset=at.seed_subset,
        scale=scale,
        out=at.scoring_model,
        samples_seen=samples,
        device=training.device,
        workers=training.workers,
    )
    newest = sorted((at.scoring_model / at.seed_subset.stem / scale / "seed_0").glob("*.pt"))[-1]
    at.checkpoint.write_bytes(newest.read_bytes())
    model = {"model": scale, "pretrained": at.checkpoint, "device": training.device}
    # In fp32, so that the figures are the same on a CPU that computes in bf16.
    stages.webpairs("score", "score", shards=at.shards, out=at.scores, column=COLUMN, precision="fp32", **model)
    stages.webpairs(
        "dedup",
        "dedup",
        metadata=at.scores,
        out=at.duplicates,
        by=("semantic", "perceptual", "exact"),
        workers=training.workers,
        device=training.device,
    )
    stages.webpairs(
        "decontaminate",
        "decontaminate",
        metadata=at.scores,
        eval=at.eval_sets,
        out=at.contamination,
        embeddings=f"{COLUMN}_img",
        **model,
    )


def filter_pool(stages: Stages) -> list[Path]:
    """Every filter's subset; of those that models are trained for the paths: no filter, the filters, the oracle, the controls."""
    at = stages.at
    asked: dict[str, dict[str, Any]] = {
        "no_filter": {"name": "no_filter"},
        "basic_filter": {"name": "basic_filter"},
        "clip_score": {"name": "clip_score", "arch": COLUMN, "fraction": CLIP_FRACTION},
        "webpairs": {
            "recipe": "webpairs",
            "arch": COLUMN,
            "param": (f"cosine={_COPY_COSINE}", f"bits={_COPY_BITS}", f"most={_MOST_IMAGES_PER_TEXT}"),
            "beside": (at.duplicates, at.contamination),
        },
        "laion_2b_en": {"recipe": "laion_2b_en", "arch": COLUMN, "threshold": _best_third(at)},
        "dfn": {"recipe": "dfn", "arch": COLUMN},
    }
    for name, options in asked.items():
        _filter(stages, name, **options)
    controls = {f"random_like_{name}": name for name in (*FILTERS, ORACLE)}
    for name, like in controls.items():
        _filter(stages, name, **{"name": "random_subset", "like": at.subsets / f"{like}.npy"})
    return [at.subsets / f"{name}.npy" for name in ("no_filter", *FILTERS, ORACLE, *controls)]


def _filter(stages: Stages, subset: str, /, **options: Any) -> None:
    at = stages.at
    stages.webpairs(f"filter {subset}", "filter", metadata_dir=at.scores, save_path=at.subsets / f"{subset}.npy", **options)


def _best_third(at: Folder) -> float:
    """The score that the best 30 % of the pool reach: what 0.28 is for ViT-B/32, another number is for a small model."""
    column = CLIP_COLUMN.format(name=COLUMN)
    rows = [pq.read_table(path, columns=[column])[column].to_numpy() for path in sorted(at.scores.glob("*.parquet"))]
    return float(threshold_at(iter(np.array_split(np.concatenate(rows), 1)), 0.3, column))


def train_and_rank(stages: Stages, subsets: Sequence[Path], training: Training) -> None:
    """Every subset × scale × seed, all on one decoded pool; then the ranking."""
    at = stages.at
    runs = [
        {
            "shards": str(at.shards),
            "subset": str(subset),
            "scale": scale,
            "seed": seed,
            "out": str(at.models),
            "samples_seen": samples,
            "checkpoints": training.checkpoints,
            "device": training.device,
            "precision": "bf16" if training.device.startswith("cuda") else "fp32",
        }
        for seed in range(training.seeds)
        for scale, samples in training.samples_seen.items()
        for subset in subsets
    ]
    text = json.dumps({"runs": runs, "eval_sets": str(at.eval_sets), "workers": training.workers})
    plan = at.logs / f"runs_{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"  # another plan, another command
    plan.write_text(text)
    stages.run(f"train and evaluate {len(runs)} models", [sys.executable, "-m", "bench.rank_runs", str(plan)])
    stages.webpairs("rank", "rank", models=at.models, out=at.ranking)
    stages.webpairs("report", "report", root=at.root)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))

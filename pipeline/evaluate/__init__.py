"""evaluate: a reference model → zero-shot classification and retrieval, as a whole and item by item."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(StageConfig):
    """What `webpairs evaluate` takes. Beside FILE.jsonl goes FILE.items.npz, which `rank` reads."""

    model: str = option("folder of one run of `train`; every checkpoint in it is evaluated", metavar="RUN_DIR")
    eval: str = option(
        "folder of evaluation sets: parquet files, image folders, or WebDatasets as CLIP_benchmark has them", metavar="DIR"
    )
    suite: Literal["all", "datacomp"] = option(
        "all: whatever is in the folder; datacomp: DataComp's 38 sets, by their names there", "all"
    )
    out: str | None = option(
        "results, one line per task and checkpoint (default: RUN_DIR/results.jsonl)", None, metavar="FILE.jsonl"
    )
    batch_size: int = option("images or texts per batch", 256, metavar="N", affects_output=False)
    device: str = option("auto, cpu, cuda or cuda:N", "auto", affects_output=False)


def run(config: EvaluateConfig, spark: Any = None) -> Manifest:
    """Evaluate every checkpoint of a run. Raises UserError for a folder that `train` did not finish and for bad task files."""
    from pipeline.evaluate.reference import evaluate

    del spark  # one model is evaluated by one process
    return evaluate(config)


__all__ = ["EvaluateConfig", "run"]

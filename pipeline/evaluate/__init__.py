"""evaluate: a model → zero-shot classification and retrieval, as a whole and item by item; DataComp's aggregate scores."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(StageConfig):
    """What `webpairs evaluate` takes. Beside FILE.jsonl goes FILE.items.npz, which `rank` reads."""

    model: str | None = option(
        "folder of one run of `train`, every checkpoint in it is evaluated; with --pretrained an open_clip name",
        None,
        metavar="RUN_DIR",
    )
    pretrained: str | None = option(
        "evaluate a published model: its open_clip tag, or the path or URL of its checkpoint", None, metavar="TAG_OR_PATH"
    )
    eval: str | None = option(
        "folder of evaluation sets: parquet files, image folders, or WebDatasets as CLIP_benchmark has them", None, metavar="DIR"
    )
    suite: Literal["all", "datacomp"] = option(
        "all: whatever is in the folder; datacomp: DataComp's 38 sets, by their names there", "all"
    )
    out: str | None = option(
        "results, one line per task and checkpoint (default: RUN_DIR/results.jsonl)", None, metavar="FILE.jsonl"
    )
    batch_size: int = option("images or texts per batch", 256, metavar="N", affects_output=False)
    device: str = option("auto, cpu, cuda or cuda:N", "auto", affects_output=False)
    precision: Literal["fp32", "bf16", "fp16"] = option("arithmetic of the model; fp32 is what results are compared in", "fp32")
    aggregate: tuple[str, ...] = option(
        "print DataComp's aggregate scores of such results, and evaluate nothing", (), metavar="FILE.jsonl", affects_output=False
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming what is missing or out of bounds."""
        super().__post_init__()
        if not self.aggregate and (self.model is None or self.eval is None):
            raise UsageError("give --model and --eval, or results in --aggregate")
        if self.pretrained is not None and self.out is None:
            raise UsageError("--pretrained: give --out FILE.jsonl, since a published model has no folder of its own")
        if self.batch_size < 1:
            raise UsageError(f"--batch-size {self.batch_size}: must be at least 1")


def run(config: EvaluateConfig, spark: Any = None) -> Manifest | None:
    """Evaluate every checkpoint of a run, or a published model.

    With `aggregate` DataComp's aggregate scores are printed instead, and the answer is None. Raises UserError for a folder that
    `train` did not finish, for an evaluation folder without sets, and where no set of it could be evaluated.
    """
    del spark  # one model is evaluated by one process
    if config.aggregate:
        from pipeline.evaluate.aggregate import aggregate_text

        print(aggregate_text(config.aggregate))
        return None
    from pipeline.evaluate.reference import evaluate

    return evaluate(config)


__all__ = ["EvaluateConfig", "run"]

"""score: shards → scores. Embeddings and CLIP similarity of every pair, in DataComp's metadata layout."""

import os
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from pipeline.score.plan import ModelSpec, Plan, column_name, read_plan
from pipeline.shares import SHARE_HELP, Share, asked_share
from schemas.errors import UsageError

_MOST_PAIRS = 1 << 20  # in a batch
_MOST_DECODERS = 1024


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(StageConfig):
    """What `webpairs score` takes."""

    shards: str = option("folder (local or URL) of tars in img2dataset's or another WebDataset layout", metavar="DIR")
    out: str = option(
        "where {shard}.parquet and {shard}.npz go; what stands there is kept, other models are added to it", metavar="DIR"
    )
    # What decides a column stands in `columns`, so that others can be added to a folder.
    model: str | None = option(
        "any open_clip model by name, or one of ours (demo, micro)", None, metavar="NAME", affects_output=False
    )
    pretrained: str | None = option(
        "an open_clip tag for that model, or the path or URL of a checkpoint", None, metavar="TAG_OR_PATH", affects_output=False
    )
    column: str | None = option(
        "scores go to clip_NAME_similarity_score, embeddings to NAME_img and NAME_txt; from the model's name if not given",
        None,
        metavar="NAME",
        affects_output=False,
    )
    plan_file: str | None = option(
        "instead of --model: a TOML file of models, heads and text scorers", None, metavar="FILE", affects_output=False
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "number format of weights and activations; auto: bf16 where the device computes in it, else fp32",
        "auto",
        affects_output=False,
    )
    preprocess: Literal["fast", "exact"] = option(
        "exact: open_clip's own pixels, to the bit, for twice the CPU time or more around the model",
        "fast",
        affects_output=False,
    )
    # None of these changes a score by more than rounding, so a run that ran out of memory can be resumed with a smaller batch.
    batch_size: int = option("pairs per batch", 256, metavar="N", affects_output=False)
    device: str = option("auto, cpu, cuda or cuda:N", "auto", affects_output=False)
    decoders: int = option(
        "processes that decode for each worker; 0: half of its cores, or with a GPU all, 16 at most",
        0,
        metavar="N",
        affects_output=False,
    )
    share: str = option(SHARE_HELP, "auto", metavar="I/N", affects_output=False)
    # Filled in by run.
    plan: Plan = field(default=Plan(), metadata={"affects_output": False})
    columns: dict[str, Any] = field(default_factory=dict, metadata={"grows": True})

    def __post_init__(self) -> None:
        """Raises UsageError where an option is out of bounds."""
        super().__post_init__()
        if not 1 <= self.batch_size <= _MOST_PAIRS:
            raise UsageError(f"--batch-size {self.batch_size}: must be 1 to {_MOST_PAIRS}")
        if not 0 <= self.decoders <= _MOST_DECODERS:
            raise UsageError(f"--decoders {self.decoders}: must be 0 to {_MOST_DECODERS}")


def run(config: ScoreConfig, spark: Any = None) -> Manifest:
    """Score every tar of the folder, one part each. Raises UserError for a model, checkpoint or folder that will not do."""
    from pipeline import io
    from pipeline.score.decoding.decoders import READY
    from pipeline.score.engine import release, require_models
    from pipeline.score.text_scorers import require_distinct
    from pipeline.score.work import has_all, score_shard, told
    from pipeline.stage import Part, run_stage
    from pipeline.workers import warm_up
    from schemas.errors import UserError

    plan, share = plan_of(config), _share(config, spark)
    tars = io.list_files(config.shards, ".tar")
    if not tars:
        raise UserError(f"{config.shards}: no .tar files in it; give the folder that `download` wrote")
    require_distinct(plan.texts, [head.column_name for head in plan.heads])
    plan = plan.pinned(on_gpu=_on_gpu(config, spark))
    config = replace(config, plan=plan, columns=plan.identities(config.preprocess))
    if spark is None:
        if config.workers == 1:
            warm_up(READY)
        require_models(plan.models, config.device)
        if config.workers > 1:
            release()
    parts = [Part(name=io.stem(path), inputs=(path,)) for path in tars]
    try:
        return run_stage(
            "score",
            config,
            parts,
            score_shard,
            out=config.out,
            upstream=[config.shards],
            spark=spark,
            share=share,
            again=lambda report: report.damaged or not has_all(report, plan),
            facts=told,
        )
    finally:
        release()


def plan_of(config: ScoreConfig) -> Plan:
    """What the options ask for. Raises UsageError where they contradict each other."""
    if config.plan_file is not None:
        if config.model or config.pretrained or config.column:
            raise UsageError("--plan-file says which models: leave out --model, --pretrained and --column")
        return read_plan(config.plan_file, precision=config.precision)
    if not config.model or not config.pretrained:
        raise UsageError("give --model and --pretrained, or --plan-file")
    column = config.column or column_name(config.model, config.pretrained)
    return Plan(models=(ModelSpec(model=config.model, pretrained=config.pretrained, column=column, precision=config.precision),))


def _share(config: ScoreConfig, spark: Any) -> Share | None:
    """What of the folder is for this process; Spark has its own way to share."""
    if spark is None:
        return asked_share(config.share, os.environ)
    if config.share not in ("auto", "all"):
        raise UsageError(f"--share {config.share}: Spark shares the shards among its tasks; leave it out")
    return None


def _on_gpu(config: ScoreConfig, spark: Any) -> bool:
    """Whether models will run on a GPU; with Spark that is for its executors to have."""
    from pipeline.devices import device_here

    if spark is not None and config.device == "auto":
        return bool(float(spark.conf.get("spark.task.resource.gpu.amount", "0")))
    return device_here(config.device).startswith("cuda")


__all__ = ["ScoreConfig", "run"]

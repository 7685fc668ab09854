"""score: shards → scores. Embeddings and CLIP similarity of every pair, in DataComp's metadata layout."""

import re
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

# The two models that DataComp's own columns stand for.
_DATACOMP = {("vit-b-32", "openai"): "b32", ("vit-l-14", "openai"): "l14"}

_MOST_PAIRS = 1 << 20  # in a batch


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(StageConfig):
    """What `webpairs score` takes."""

    shards: str = option("folder (local or URL) of tars in img2dataset's or another WebDataset layout", metavar="DIR")
    out: str = option("where {shard}.parquet and {shard}.npz go; one model per folder", metavar="DIR")
    model: str = option("any open_clip model by name, or one of ours (demo, micro)", metavar="NAME")
    pretrained: str = option("an open_clip tag for that model, or the path or URL of a checkpoint", metavar="TAG_OR_PATH")
    column: str | None = option(
        "scores go to clip_NAME_similarity_score, embeddings to NAME_img and NAME_txt; from the model's name if not given",
        None,
        metavar="NAME",
    )
    # Neither changes a score by more than rounding, so a run that ran out of memory can be resumed with a smaller batch.
    batch_size: int = option("pairs per batch", 256, metavar="N", affects_output=False)
    device: str = option("auto, cpu, cuda or cuda:N", "auto", affects_output=False)
    precision: Literal["fp32", "bf16", "fp16"] = option("number format of weights and activations", "fp32")
    # Filled in by run: a folder is not resumed with other weights under the same path. "" for a tag.
    checkpoint_sha256: str = field(default="")

    @property
    def column_name(self) -> str:
        """NAME of the score column and the arrays: as given, b32 or l14 for OpenAI's models, else from the model's name."""
        known = _DATACOMP.get((self.model.replace("/", "-").lower().removesuffix("-quickgelu"), self.pretrained))
        return self.column or known or re.sub(r"[^a-z0-9]+", "_", self.model.lower()).strip("_")


def run(config: ScoreConfig, spark: Any = None) -> Manifest:
    """Score every tar of the folder, one part each. Raises UserError for a model, checkpoint or folder that will not do."""
    from pipeline import io
    from pipeline.score.embed import file_sha256, release, the_clip
    from pipeline.score.work import score_shard
    from pipeline.stage import Part, run_stage
    from schemas.errors import UserError

    _check(config)
    _refuse_second_model(config)
    tars = io.list_files(config.shards, ".tar")
    if not tars:
        raise UserError(f"{config.shards}: no .tar files in it; give the folder that `download` wrote")
    config = replace(config, checkpoint_sha256=file_sha256(config.pretrained))
    if spark is None:
        the_clip(config)  # a model that cannot be had is told once, before any part
        if config.workers > 1:
            release()
    parts = [Part(name=io.stem(path), inputs=(path,)) for path in tars]
    return run_stage("score", config, parts, score_shard, out=config.out, upstream=[config.shards], spark=spark)


def _check(config: ScoreConfig) -> None:
    if not 1 <= config.batch_size <= _MOST_PAIRS:
        raise UsageError(f"--batch-size {config.batch_size}: must be 1 to {_MOST_PAIRS}")
    if not re.fullmatch(r"[A-Za-z0-9_-]+", config.column_name):
        raise UsageError(f"--column {config.column_name}: use letters, digits, _ and - only")


def _refuse_second_model(config: ScoreConfig) -> None:
    """Raises UserError where the folder holds another model's scores. Whatever else differs there, `run_stage` refuses."""
    import json

    from pipeline import io
    from pipeline.manifest import CONFIG_NAME
    from schemas.errors import UserError

    path = io.join(config.out, CONFIG_NAME)
    try:
        made = json.loads(io.read_bytes(path)) if io.exists(path) else None
    except ValueError:
        return
    asked = {name: getattr(config, name) for name in ("model", "pretrained", "column")}
    if isinstance(made, dict) and made.get("stage") == "score" and any(made.get(name) != asked[name] for name in asked):
        there = f"{made.get('model')} (weights {made.get('pretrained')}, column {made.get('column') or 'named after it'})"
        raise UserError(f"{config.out}: holds the scores of {there}; one model per folder: give another --out")


__all__ = ["ScoreConfig", "run"]

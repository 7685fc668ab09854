"""train: a subset of the shards → a reference model. The pool is decoded once; every run reads it through its own index."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class TrainConfig(StageConfig):
    """What `webpairs train` takes. The run goes to OUT/{filter}/{scale}/seed_{N}/."""

    shards: str = option("folder of tars with their parquet, as `download` writes them", metavar="DIR")
    subset: str = option("the uids to train on: .npy of dtype u8,u8, a repeated uid is a weight", metavar="FILE.npy")
    scale: str = option("how much to train: demo, micro, or DataComp's small, medium, large, xlarge")
    seed: int = option("seed of the initial weights and of the order of samples", 0, metavar="N")
    out: str = option("root of the models", metavar="DIR")
    model: str | None = option("open_clip name or one of ours (demo, micro), in place of the scale's own", None, metavar="NAME")
    filter_name: str | None = option("name of the filter in results, in place of the subset's file name", None, metavar="NAME")
    samples_seen: int | None = option("budget in samples, in place of the scale's own", None, metavar="N")
    engine: Literal["native", "open_clip"] = option(
        "native: our loop over the decoded pool; open_clip: reshard the subset and run open_clip's own trainer on it", "native"
    )
    loss: Literal["auto", "clip", "siglip"] = option("auto: siglip for a model with a logit bias, else clip", "auto")
    batch_size: int | None = option(
        "samples per optimiser step over all processes, in place of the scale's own", None, metavar="N"
    )
    accumulate: int = option(
        "parts that a batch is computed in, for memory; the loss stays that of the whole batch",
        1,
        metavar="N",
        affects_output=False,
    )
    cooldown: float = option(
        "share of the budget at whose end the rate falls linearly to 0; 0: constant to the end", 0.0, metavar="F"
    )
    checkpoints: tuple[float, ...] = option(
        "shares of the budget at which the model is saved (default: the scale's)", (), metavar="F"
    )
    device: str = option("auto, cpu, cuda or cuda:N", "auto")
    precision: Literal["fp32", "bf16"] = option("arithmetic: fp32, or bf16 autocast over float32 weights", "fp32")
    decoded: str | None = option(
        "local folder of the decoded pool, shared by all runs (default: OUT/_decoded)", None, metavar="DIR", affects_output=False
    )
    state_every_s: float = option(
        "seconds between the states that a killed run goes on from", 600.0, metavar="S", affects_output=False
    )
    tensorboard: bool = option("write TensorBoard's event files, too (extra `tensorboard`)", False, affects_output=False)
    dry_run: bool = option("with --engine open_clip: print the commands and run nothing", False, affects_output=False)
    # Filled in by run: a run is not taken for done when the file at the subset's path has changed since.
    subset_sha256: str = field(default="")


def run(config: TrainConfig, spark: Any = None) -> Manifest | None:
    """Train one reference model. Raises UserError for a subset, scale, model or folder that will not do."""
    if config.engine == "open_clip":
        from pipeline.train.open_clip_trainer.engine import train
    else:
        from pipeline.train.reference import train
    del spark  # one run is one process; a cluster launches many runs
    return train(config)


__all__ = ["TrainConfig", "run"]

"""rank: results of many runs → which filter is better, at which compute, and how sure that is."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class RankConfig(StageConfig):
    """What `webpairs rank` takes."""

    models: str = option("folder below which `evaluate` wrote results.jsonl", metavar="DIR")
    out: str = option("where ranking.parquet and ranking.md go", metavar="DIR")
    draws: int = option("bootstrap draws", 10_000, metavar="N")
    seed: int = option("seed of the bootstrap", 0, metavar="N")
    budget: str | None = option(
        "train and evaluate first what fits in this time (20min, 6h): filters × scales × seeds, planned after timing steps",
        None,
        metavar="TIME",
    )
    shards: str | None = option("with --budget: folder of tars with their parquet", None, metavar="DIR")
    subset: tuple[str, ...] = option("with --budget: the subsets to compare; the controls are added", (), metavar="FILE.npy")
    eval: str | None = option("with --budget: evaluation sets, as `evaluate` takes them", None, metavar="DIR")
    scale: tuple[str, ...] = option("with --budget: scales to choose from, the more important first", (), metavar="NAME")
    most_seeds: int = option("with --budget: seeds beyond which time goes into samples seen", 8, metavar="N")
    device: str = option("with --budget: auto, cpu, cuda or cuda:N", "auto")
    precision: Literal["fp32", "bf16"] = option("with --budget: arithmetic of training", "fp32")
    dry_run: bool = option(
        "with --budget: time a few steps, print the plan and what it can detect, and stop", False, affects_output=False
    )


def run(config: RankConfig, spark: Any = None) -> Manifest:
    """Rank all results below a folder. Raises UserError where there are none, or runs were tested on different items."""
    from pipeline.rank.ranking import rank

    del spark  # small tables: one process
    return rank(config)


__all__ = ["RankConfig", "run"]

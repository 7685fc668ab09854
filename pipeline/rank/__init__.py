"""rank: results of many runs → which filter is better, at which compute, and how sure that is."""

from dataclasses import dataclass
from typing import Any

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class RankConfig(StageConfig):
    """What `webpairs rank` takes."""

    models: str = option("folder below which `evaluate` wrote results.jsonl", metavar="DIR")
    out: str = option("where ranking.parquet and ranking.md go", metavar="DIR")
    draws: int = option("bootstrap draws", 10_000, metavar="N")
    seed: int = option("seed of the bootstrap", 0, metavar="N")


def run(config: RankConfig, spark: Any = None) -> Manifest:
    """Rank all results below a folder. Raises UserError where there are none, or runs were tested on different items."""
    from pipeline.rank.ranking import rank

    del spark  # small tables: one process
    return rank(config)


__all__ = ["RankConfig", "run"]

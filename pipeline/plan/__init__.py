"""plan: sizes → what each stage costs: core hours, GPU hours, shuffle, storage, and the executors to ask for."""

from dataclasses import dataclass

from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class PlanConfig(StageConfig):
    """How large the crawl or pool is."""

    wats: float | None = option("WAT files to read (a crawl has about 90,000)", None, metavar="N")
    pairs: float | None = option("pairs in the pool to download (1e9, 12.8e9)", None, metavar="N")


def run(config: PlanConfig, spark: None = None) -> None:
    """Print the plan."""
    from pipeline.plan.planning import plan

    plan(config)


__all__ = ["PlanConfig", "run"]

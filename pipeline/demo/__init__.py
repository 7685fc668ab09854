"""demo: a small generated web, served on loopback, through every stage; ends with the ranking and the path of the report."""

from dataclasses import dataclass

from pipeline.options import StageConfig, option


@dataclass(frozen=True, kw_only=True)
class DemoConfig(StageConfig):
    """How large a demo, and where. The defaults take some minutes on two cores."""

    root: str = option("folder of the demo: everything is written below it", "demo", metavar="DIR")
    pairs: int = option("image links in the generated web", 6000, metavar="N")
    seed_pairs: int = option("clean pairs to train the scoring model on", 2000, metavar="N")
    seeds: int = option("training seeds per filter", 4, metavar="N")
    samples_seen: int | None = option("samples that each reference model is trained on (default: the scale's)", None, metavar="N")
    seed: int = option("seed of the generated web", 0, metavar="N")
    workers: int = option("worker processes", 2, metavar="N", affects_output=False)


def run(config: DemoConfig, spark: None = None) -> None:
    """Run the demo. What stands under the root already is not done again. Raises UserError for a root of another demo."""
    from pipeline.demo.flow import run_demo

    run_demo(config)


__all__ = ["DemoConfig", "run"]

"""demo: a small generated web, served on loopback, through every stage; ends with the ranking and the path of the report."""

from dataclasses import dataclass

from pipeline.options import StageConfig, option
from schemas.errors import UsageError

MOST_EVAL_ITEMS = 1920  # things × colours × backgrounds


@dataclass(frozen=True, kw_only=True)
class DemoConfig(StageConfig):
    """How large a demo, and where. The defaults take some minutes on two cores."""

    root: str = option("folder of the demo: everything is written below it", "demo", metavar="DIR")
    pairs: int = option("image links in the generated web", 6000, metavar="N")
    seed_pairs: int = option("clean pairs to train the scoring model on", 2000, metavar="N")
    eval_items: int = option("pictures in each evaluation set", 800, metavar="N")
    seeds: int = option("training seeds per filter", 4, metavar="N")
    samples_seen: int | None = option("samples that each reference model is trained on (default: the scale's)", None, metavar="N")
    seed: int = option("seed of the generated web", 0, metavar="N")
    serve: int | None = option("only serve the web of a demo that has run, as an HTTP proxy on this port", None, metavar="PORT")
    workers: int = option("worker processes", 2, metavar="N", affects_output=False)

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        for name in ("pairs", "seed_pairs", "eval_items", "seeds", "samples_seen"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: must be at least 1")
        if self.eval_items > MOST_EVAL_ITEMS:
            raise UsageError(f"--eval-items {self.eval_items}: at most {MOST_EVAL_ITEMS} different ones can be made")


def run(config: DemoConfig, spark: None = None) -> None:
    """Run the demo, or serve its web until interrupted. What stands under the root already is not done again.

    Raises UserError for a root of another demo, and for a port that is taken.
    """
    if config.serve is not None:
        from pipeline.demo.serve import serve

        serve(config.root, config.serve)
        return
    from pipeline.demo.flow import run_demo

    run_demo(config)


__all__ = ["DemoConfig", "run"]

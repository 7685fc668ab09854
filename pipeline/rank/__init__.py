"""rank: results of many runs → which filter is better, at which compute, and how sure that is."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError


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
    most_seeds: int = option(
        "with --budget: most seeds per filter and scale; time beyond them goes into the next scale", 8, metavar="N"
    )
    device: str = option("with --budget: auto, cpu, cuda or cuda:N", "auto")
    precision: Literal["fp32", "bf16"] = option("with --budget: arithmetic of training", "fp32")
    dry_run: bool = option(
        "with --budget: time a few steps, print the plan and what it can detect, and stop", False, affects_output=False
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds, or that needs another."""
        super().__post_init__()
        if self.draws < 1000:
            raise UsageError(f"--draws {self.draws}: an interval from fewer than 1000 draws is noise")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be 0 or more")
        given = {f"--{name}": getattr(self, name) for name in ("shards", "subset", "eval", "scale")}
        if self.budget is None:
            useless = next((name for name, value in {**given, "--dry-run": self.dry_run}.items() if value), None)
            if useless:
                raise UsageError(f"{useless}: only means something with --budget TIME")
        else:
            self._check_budget(given)

    def _check_budget(self, given: dict[str, Any]) -> None:
        from pipeline import io
        from pipeline.rank.budget.durations import seconds_of
        from pipeline.train.scales import scale_of

        seconds_of(str(self.budget))
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise UsageError(f"--budget {self.budget}: needs {', '.join(missing)}, too: what to train on, and to test on")
        if self.most_seeds < 2:
            raise UsageError(f"--most-seeds {self.most_seeds}: must be 2 or more; one seed says nothing of another")
        if "://" in self.models:
            raise UsageError(f"--models {self.models}: with --budget models are trained there; give a local folder")
        names = [io.stem(path) for path in self.subset]
        for kind, values in (("subset", names), ("scale", list(self.scale))):
            double = next((value for value in values if values.count(value) > 1), None)
            if double:
                raise UsageError(f"--{kind}: {double} is given twice; a filter is known by its file's name, a scale by its own")
        for scale in self.scale:
            scale_of(scale)


def run(config: RankConfig, spark: Any = None) -> Manifest:
    """Rank all results below a folder, with a budget after training and evaluating what it allows.

    Raises UserError where there are no results, runs were tested on different items, a run fails or the budget is too short.
    """
    from pipeline.rank.ranking import rank

    del spark  # small tables: one process
    if config.budget is None:
        return rank(config)
    from pipeline.rank.budget.ranked import rank_within_budget

    return rank_within_budget(config)


__all__ = ["RankConfig", "run"]

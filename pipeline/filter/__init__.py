"""filter: scores → subset. DataComp's baselines.py, drop-in, and compositions of any filters (recipes); reads columns only."""

from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import MOST_WORKERS, StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class FilterConfig(StageConfig):
    """What `webpairs filter` takes: DataComp's options under DataComp's names, then ours."""

    name: str | None = option("a filter by name (docs/filters.md has them all), or one that an installed package adds", None)
    recipe: str | None = option(
        "instead: a TOML file that composes filters, or one of ours by name: laion_2b_en, datacomp_1b, dfn, webpairs",
        None,
        metavar="FILE.toml",
    )
    metadata_dir: str = option("folder (local or URL) of parquet metadata: what `score` wrote, or DataComp's", metavar="DIR")
    save_path: str = option(
        "the subset, .npy; NAME.json beside it says how it was made", metavar="FILE.npy", affects_output=False
    )
    arch: str | None = option("CLIP score to use: b32, l14 or another NAME with a column clip_NAME_similarity_score", None)
    threshold: float | None = option("keep pairs whose score is at least this", None)
    fraction: float | None = option("keep the top share of the pool by score, or a random one (random_subset), 0 to 1", None)
    num_workers: int | None = option("DataComp's name for --workers", None, metavar="N", affects_output=False)
    image_based_scale: Literal["small", "medium", "large", "xlarge"] | None = option("whose centroids image_based takes", None)
    batch_size: int | None = option("accepted as DataComp has it, and not needed", None, metavar="N", affects_output=False)
    num_gpus: int | None = option("accepted as DataComp has it, and not needed", None, metavar="N", affects_output=False)
    beside: tuple[str, ...] = option(
        "folders with further columns of the same rows: what dedup, decontaminate and measure wrote", (), metavar="DIR"
    )
    param: tuple[str, ...] = option(
        "other parameters of the filter, or of every filter of the recipe that takes them", (), metavar="KEY=VALUE"
    )
    seed: int | None = option("seed of filters that draw", None)
    like: str | None = option("random_subset of as many rows as this subset has", None, metavar="FILE.npy")
    lid_model: str | None = option("fastText's language-id model lid.176.bin", None, metavar="FILE")
    assets: str | None = option(
        "folder with the files that DataComp's baselines download, under their names there (docs/filters.md)", None, metavar="DIR"
    )
    damaged: Literal["refuse", "skip"] = option(
        "what a metadata file that cannot be read does: ends the command, or is named, counted and left out", "refuse"
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if self.damaged == "skip":
            object.__setattr__(self, "tolerate_failed", 1.0)
        if (self.name is None) == (self.recipe is None):
            raise UsageError("give either --name or --recipe")
        if self.num_workers is not None and not 1 <= self.num_workers <= MOST_WORKERS:
            raise UsageError(f"--num-workers {self.num_workers}: must be 1 to {MOST_WORKERS}")
        if not self.save_path.removesuffix(".npy").rpartition("/")[2]:
            raise UsageError(f"--save-path {self.save_path}: a folder; give a file, such as subset.npy")


def run(config: FilterConfig, spark: Any = None) -> Manifest:
    """Write the subset and its account. Raises UserError for metadata, options or a recipe that cannot be worked with.

    A file that cannot be read ends the command before anything is written, unless it is to be skipped: then it is named in the
    account and in the manifest's inputs, and its rows are missing. With Spark a task takes some files; passes over the whole pool
    that a selector or a sample needs are made here. Without, one machine: a pool of millions is done before a cluster starts.
    """
    from pipeline.filter.select import select

    return select(config, spark)


__all__ = ["FilterConfig", "run"]

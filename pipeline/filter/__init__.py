"""filter: scores → subset. DataComp's baselines.py, drop-in: the same options, byte-identical files; reads columns only."""

from dataclasses import dataclass
from typing import Any

from pipeline.manifest import Manifest
from pipeline.options import MOST_WORKERS, StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class FilterConfig(StageConfig):
    """What `webpairs filter` takes: DataComp's options under DataComp's names, then ours."""

    name: str = option("filter: no_filter, basic_filter, clip_score, random_subset, or one that an installed package adds")
    metadata_dir: str = option("folder (local or URL) of parquet metadata: what `score` wrote, or DataComp's", metavar="DIR")
    save_path: str = option(
        "the subset, .npy; NAME.json beside it says how it was made", metavar="FILE.npy", affects_output=False
    )
    arch: str | None = option("CLIP score to use: b32, l14 or another NAME with a column clip_NAME_similarity_score", None)
    threshold: float | None = option("keep pairs whose CLIP score is at least this", None)
    fraction: float | None = option("keep the top (clip_score) or a random (random_subset) share of the pool, 0 to 1", None)
    num_workers: int | None = option("worker processes; DataComp's name for --workers", None, metavar="N", affects_output=False)
    seed: int = option("seed of random_subset", 0)
    like: str | None = option("random_subset of as many rows as this subset has", None, metavar="FILE.npy")
    lid_model: str | None = option(
        "fastText language-id model (lid.176.bin) for basic_filter; without it the stored column `lang` decides",
        None,
        metavar="PATH",
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if self.num_workers is not None and not 1 <= self.num_workers <= MOST_WORKERS:
            raise UsageError(f"--num-workers {self.num_workers}: must be 1 to {MOST_WORKERS}")
        if not self.save_path.removesuffix(".npy").rpartition("/")[2]:
            raise UsageError(f"--save-path {self.save_path}: a folder; give a file, such as subset.npy")


def run(config: FilterConfig, spark: Any = None) -> Manifest:
    """Write the subset and its account. Raises UserError for metadata or options that cannot be worked with.

    A file that cannot be read is named in the account and in the manifest's inputs, and its rows are missing.
    """
    from pipeline.filter.select import select

    del spark  # columns only: one machine reads them faster than a cluster starts
    return select(config)


__all__ = ["FilterConfig", "run"]

"""release: scores (or the pool) → published metadata: sorted parquet with provenance, card, Croissant, datasheet, checksums."""

import os
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import MOST_WORKERS, StageConfig, option
from schemas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class ReleaseConfig(StageConfig):
    """What is published, and under which name."""

    root: str = option("data root, as the stages leave it: 2_pool, 3_shards, 4_scores, 4_…, 5_subsets", metavar="DIR")
    out: str = option("folder for the release", metavar="DIR")
    name: str = option("name of the data set, as its card says it", "webpairs-release")
    of: Literal["scores", "pool"] = option("what is published: scored pairs, or the pool (before any download)", "scores")
    license: str = option("licence of the metadata (SPDX name); images and texts are other people's", "cc-by-4.0")
    homepage: str | None = option("address of the data set's page, for the card and Croissant", None, metavar="URL")
    creator: str | None = option("who publishes it", None, metavar="NAME")
    embeddings: tuple[str, ...] = option(
        "arrays of the scores' .npz to publish beside the rows (b32_img, …), or all", (), metavar="NAME"
    )
    file_rows: int = option("rows of each parquet file, of more than a million rows in all about", 1_000_000, metavar="N")
    workers: int = option(
        "cores of this machine that the embedded Spark uses, where the rows are too many to be sorted without (a cluster decides "
        "for itself)",
        min(os.cpu_count() or 1, MOST_WORKERS),
        affects_output=False,
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if not self.name.strip():
            raise UsageError(f"--name {self.name!r}: is blank; give the data set a name")
        if self.file_rows < 1:
            raise UsageError(f"--file-rows {self.file_rows}: must be at least 1")


def run(config: ReleaseConfig, spark: Any = None) -> Manifest:
    """Write the release."""
    from pipeline.release.publish import publish_release

    return publish_release(config, spark)


__all__ = ["ReleaseConfig", "run"]

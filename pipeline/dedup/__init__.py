"""dedup: metadata → which row repeats which, to the byte, to the eye or to a model; columns, not a deletion."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.manifest import Manifest
from pipeline.options import StageConfig, option
from schemas.errors import UsageError

KINDS = ("semantic", "perceptual", "exact")
_MOST_BITS = 16  # of 64: unrelated images differ in about 32, and some pairs of a large pool in 16
_MOST_CLUSTERS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class DedupConfig(StageConfig):
    """What `webpairs dedup` takes."""

    metadata: str = option("folder (local or URL) of parquet metadata and .npz: what `score` wrote, or DataComp's", metavar="DIR")
    out: str = option("where {file}.parquet goes: uid and the columns, the same rows in the same order", metavar="DIR")
    by: tuple[str, ...] = option(
        "semantic (embeddings), perceptual (hashes of what is seen), exact (sha256): one or several",
        ("semantic",),
        metavar="KIND",
    )
    embeddings: str | None = option(
        "array of the .npz that tells how alike two rows are; the first NAME_img if not given", None, metavar="NAME_img"
    )
    floor: float = option("least cosine at which a row is told to repeat an earlier one", 0.9, metavar="COSINE")
    bits: int = option("most bits of 64 by which perceptual hashes of copies differ", 8)
    hash: Literal["served", "stored"] = option("sha256 of the image as it was served, or as it is stored in the shard", "served")
    order: tuple[str, ...] = option(
        "which of two copies is the original: columns, lowest first, NAME:high for highest first; then the uid; if not given: "
        "the highest CLIP score of the embeddings' model",
        (),
        metavar="NAME",
    )
    clusters: int = option(
        "clusters to cut the pool into and to name in the column cluster; 0: as many as a large pool needs", 0, metavar="N"
    )
    memory_gb: float = option(
        "memory to stay below; embeddings that do not fit lie in --out meanwhile", 4.0, metavar="GB", affects_output=False
    )
    device: str = option("auto, cpu, cuda or cuda:N", "auto")
    beside: tuple[str, ...] = option("folders with further columns of the same rows, to order by", (), metavar="DIR")
    seed: int = option("seed of the clustering", 0)
    workers: int = option("threads", 1, affects_output=False)

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        for kind in self.by:
            if kind not in KINDS:
                raise UsageError(f"--by {kind}: must be one or several of {', '.join(KINDS)}")
        if not self.by:
            raise UsageError(f"--by: give one or several of {', '.join(KINDS)}")
        if not 0 < self.floor <= 1:
            raise UsageError(f"--floor {self.floor:g}: must be more than 0 and at most 1")
        if not 0 <= self.bits <= _MOST_BITS:
            raise UsageError(f"--bits {self.bits}: must be 0 to {_MOST_BITS}")
        if not 0 <= self.clusters <= _MOST_CLUSTERS:
            raise UsageError(f"--clusters {self.clusters}: must be 0 to {_MOST_CLUSTERS}")
        if self.memory_gb <= 0:
            raise UsageError(f"--memory-gb {self.memory_gb:g}: must be more than 0")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise UsageError(f"--device {self.device}: must be auto, cpu, cuda or cuda:N")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: must be at least 0")

    @property
    def sha256_column(self) -> str:
        """The column that --hash means."""
        return "sha256" if self.hash == "served" else "stored_sha256"


def run(config: DedupConfig, spark: Any = None) -> Manifest:
    """Write which row repeats which. With Spark, embeddings are compared there, a cluster to a task.

    Raises UserError for metadata or options that cannot be worked with. A file that cannot be read is named in the manifest, and
    its rows take no part.
    """
    from pipeline.dedup.marking import mark

    return mark(config, spark)


__all__ = ["DedupConfig", "run"]

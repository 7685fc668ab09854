"""candidates → pool: exact dedup, policy, removal lists, language, deterministic sample. Prints the funnel.

In: the candidate folder's parquet files. Out: part-NNNNN.parquet in POOL's columns; parts and rows in the order of the
sampling hash, so that a pool of 10 % is the first 10 % of the full one (same seed and partitions).
"""

import os
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline import io
from pipeline.manifest import PARTS_FOLDER, Manifest, PartReport
from pipeline.options import MOST_WORKERS, StageConfig, option
from pipeline.pool.funnel import print_funnel
from pipeline.pool.inputs import candidate_files
from pipeline.pool.judge import Rules
from pipeline.pool.removal import read_lists
from pipeline.pool.shuffle import shuffle
from pipeline.spark import session_or_local
from pipeline.stage import Part, begin, done_parts, end
from schemas.errors import UsageError

_MOST_PARTITIONS = 100_000  # five digits in a part's name


@dataclass(frozen=True, kw_only=True)
class PoolConfig(StageConfig):
    """What the pool keeps."""

    candidates: str = option("folder of candidates, as `extract` writes it")
    out: str = option("folder for the pool")
    sample: float = option("share of all uids to keep, 0 to 1: the same uids for the same seed", 1.0, metavar="F")
    seed: int = option("seed of the sample and of the order", 0)
    remove: tuple[str, ...] = option(
        "removal lists: text files of URLs, domains, uids or hashes of URLs (md5, sha1, sha256), one per line", (), metavar="LIST"
    )
    opt_out: Literal["honour", "flag"] = option(
        "pages with noai, noimageai, noindex, noimageindex, none or a TDM reservation: drop their pairs, or keep and flag them",
        "honour",
    )
    partitions: int = option("files that the full pool has; a sample of F has the first F of them", 64)
    max_text_chars: int = option("longest alt text that is kept, characters", 10_000)
    max_url_chars: int = option("longest URL that is kept, characters", 4096)
    workers: int = option(
        "cores of this machine that the embedded Spark uses (a cluster decides for itself)",
        min(os.cpu_count() or 1, MOST_WORKERS),
        affects_output=False,
    )

    def __post_init__(self) -> None:
        """Raises UsageError naming the first option that is out of bounds."""
        super().__post_init__()
        if not 0 < self.sample <= 1:
            raise UsageError(f"--sample {self.sample}: must be more than 0 and at most 1")
        if not 1 <= self.partitions <= _MOST_PARTITIONS:
            raise UsageError(f"--partitions {self.partitions}: must be 1 to {_MOST_PARTITIONS}")
        for name, value in (("--max-text-chars", self.max_text_chars), ("--max-url-chars", self.max_url_chars)):
            if value < 1:
                raise UsageError(f"{name} {value}: must be at least 1")


def run(config: PoolConfig, spark: Any = None) -> Manifest:
    """Make the pool on `spark`, or on an embedded Spark that uses `workers` of this machine's cores.

    The manifest's counts add up: rows_in = rows_out + every dropped_*. Raises UserError where the candidates are not complete or
    a removal list cannot be read.
    """
    removal = read_lists(config.remove)
    files = candidate_files(config.candidates)
    rules = Rules.of(config, removal)
    # The lists' content decides the output, not their names alone.
    recorded = replace(config, remove=tuple(f"{path} sha256:{digest}" for path, digest in removal.digests.items()))
    this_run = begin("pool", recorded, out=config.out, upstream=[config.candidates])
    parts = [Part(name=rules.part_name(bucket)) for bucket in range(rules.buckets)]
    done = _still_good(done_parts(config.out, parts), config.out)
    todo = [bucket for bucket, part in enumerate(parts) if part.name not in done]
    if todo:
        with session_or_local(spark, "webpairs pool", cores=config.workers) as session:
            shuffle(session, files, rules, todo)
    reports = done_parts(config.out, parts)
    manifest = end(this_run, [reports[part.name] for part in parts], resumed=len(done))
    print_funnel(manifest.counts)
    return manifest


def _still_good(done: dict[str, PartReport], out: str) -> dict[str, PartReport]:
    """All, or none where an input was not read whole: its rows belong into every part, so every part is made anew."""
    damaged = {name for name, part in done.items() if part.damaged}
    if not damaged:
        return done
    # What tells of the damage goes last: killed in between, the next run still knows.
    for name in sorted(done, key=lambda name: name in damaged):
        io.remove(io.join(out, PARTS_FOLDER, f"{name}.json"))
    return {}


__all__ = ["PoolConfig", "run"]

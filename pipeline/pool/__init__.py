"""candidates → pool: exact dedup, policy, removal lists, language, deterministic sample. Prints the funnel.

In: the candidate folder's parquet files. Out: part-NNNNN.parquet in POOL's columns; parts and rows in the order of the
sampling hash, so that a pool of 10 % is the first 10 % of the full one (same seed, dedup and partitions).
"""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

from pipeline import io
from pipeline.manifest import PARTS_FOLDER, Manifest, PartReport
from pipeline.nearby import published, sha256_of
from pipeline.options import MOST_WORKERS, StageConfig, option
from pipeline.pool.funnel import print_cost, print_funnel
from pipeline.pool.inputs import candidate_files
from pipeline.pool.judge import Rules
from pipeline.pool.language import local_model
from pipeline.pool.sameness import Dedup
from pipeline.pool.shuffle import shuffle
from pipeline.removal import Removal, compiled
from pipeline.spark import session_or_local
from pipeline.stage import Part, begin, done_parts, end
from schemas.errors import UsageError

_MOST_PARTITIONS = 100_000  # five digits in a part's name


@dataclass(frozen=True, kw_only=True)
class PoolConfig(StageConfig):
    """What the pool keeps."""

    candidates: str = option("folder of candidates, as `extract` writes it")
    out: str = option("folder for the pool")
    dedup: Dedup = option(  # noqa: RUF009 - a Literal
        "of candidates with one uid, one URL (normalised) or one text (case, width and white space ignored) keep the earliest",
        "uid",
    )
    sample: float = option("share of all uids (URLs, texts) to keep, 0 to 1: the same for the same seed", 1.0, metavar="F")
    seed: int = option("seed of the sample and of the order", 0)
    remove: tuple[str, ...] = option(
        "removal lists: text files of URLs, domains, uids or hashes of URLs (md5, sha1, sha256), one per line", (), metavar="LIST"
    )
    language_model: str | None = option(
        "fastText model that tells languages (lid.176.bin, DataComp's choice); without it py3langid's, which needs no file",
        None,
        metavar="FILE",
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

    The manifest's counts add up: rows_in = rows_out + every dropped_*. Raises UserError where the candidates are not complete, a
    removal list cannot be read, or the language model is none.
    """
    files = candidate_files(config.candidates)
    with ExitStack() as stack:
        removal = stack.enter_context(compiled(config.remove))
        model = stack.enter_context(local_model(config.language_model)) if config.language_model else ""
        recorded = _recorded(config, removal, model)
        this_run = stack.enter_context(begin("pool", recorded, out=config.out, upstream=[config.candidates]))
        rules = Rules.of(config)
        parts = [Part(name=rules.part_name(bucket)) for bucket in range(rules.buckets)]
        done = _still_good(done_parts(config.out, parts), config.out)
        todo = [bucket for bucket, part in enumerate(parts) if part.name not in done]
        made = _make(config, spark, files, replace(rules, removal=removal, language_model=model), todo) if todo else None
        found = done_parts(config.out, parts)
        reports = [found[part.name] for part in parts]
        rows = sum(report.counts.get("rows_in", 0) for report in reports)
        manifest = end(this_run, reports, resumed=len(done), facts={"cost": _cost(made, rows)} if made else None)
    print_funnel(manifest.counts)
    print_cost(manifest.facts.get("cost"))
    return manifest


def _recorded(config: PoolConfig, removal: Removal, model: str) -> PoolConfig:
    """As the folder's config says it: the content of the files that it names decides the output, not their names alone."""
    described = f"{config.language_model} sha256:{sha256_of(model)}" if model else None
    return replace(config, remove=removal.described, language_model=described)


def _make(config: PoolConfig, spark: Any, files: Sequence[str], rules: Rules, todo: Sequence[int]) -> dict[str, Any]:
    """Make the buckets `todo`; how long it took, and what was shuffled."""
    sources = [path for path in (rules.removal.path, rules.language_model) if path]
    with published(config.out, sources) as copies, session_or_local(spark, "webpairs pool", cores=config.workers) as session:
        at = dict(zip(sources, copies, strict=True))
        removal = replace(rules.removal, path=at.get(rules.removal.path, ""))
        rules = replace(rules, removal=removal, language_model=at.get(rules.language_model, ""))
        started = time.monotonic()
        moved = shuffle(session, files, rules, todo)
        took_s = time.monotonic() - started
    return {"wall_s": round(took_s, 3), "shuffle_bytes": moved.bytes_written, "shuffle_rows": moved.rows_written}


def _cost(made: dict[str, Any], rows: int) -> dict[str, Any]:
    """What this run cost: per second of Spark's work rows read, per row read bytes that were shuffled."""
    return {
        **made,
        "rows_per_s": round(rows / max(made["wall_s"], 0.001)),
        "shuffle_bytes_per_row": round(made["shuffle_bytes"] / max(rows, 1), 1),
    }


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

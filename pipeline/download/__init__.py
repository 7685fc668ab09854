"""download: pool → shards. Each URL is fetched, resized and stored in WebDataset tars, in img2dataset's layout.

In: a folder of parquet with uid, url and text. Out: per shard 00000.tar, 00000.parquet (one row per pair that was tried) and
00000_stats.json; sizes.json for open_clip.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline import io
from pipeline.download.config import DownloadConfig
from pipeline.manifest import Manifest
from schemas.errors import UsageError

if TYPE_CHECKING:
    from pipeline.manifest import PartReport
    from pipeline.removal import Removal
    from pipeline.stage import Part, PartFolder

__all__ = ["DownloadConfig", "run"]


def run(config: DownloadConfig, spark: Any = None) -> Manifest:
    """Download the pool, shard by shard; shards that are done are not fetched again.

    Raises UserError where the pool has no such columns, is not finished, or the folder was made with another config, or where a
    removal list cannot be read; UsageError where img2dataset is to run on Spark.
    """
    from pipeline.download.fetching.proxy import require_answering
    from pipeline.download.plan import plan

    if spark is not None and config.engine == "img2dataset":
        raise UsageError(
            "--engine img2dataset: runs on one machine, not on Spark; use --engine native there, or `webpairs download`"
        )
    parts = plan(config.pool, config.samples_per_shard, carry=config.carry, hashes=config.verify_hash, boxes=config.blur_boxes)
    if config.proxy is not None and spark is None:  # on a cluster it is the executors that must reach it
        require_answering(config.proxy)
    if config.engine == "img2dataset":
        from pipeline.download.peer import run_img2dataset

        manifest = run_img2dataset(config, parts)
    else:
        manifest = _run_native(config, parts, spark)
    _write_sizes(config.out, manifest)
    return manifest


def _run_native(config: DownloadConfig, parts: Sequence[Any], spark: Any) -> Manifest:
    from pipeline.download.tally import told_by_tld
    from pipeline.nearby import published
    from pipeline.removal import compiled
    from pipeline.stage import run_stage

    with compiled(config.remove) as removal, published(config.out, [removal.path] if removal.path else []) as copies:
        # The lists' content decides the output, not their names alone.
        recorded = replace(config, remove=removal.described)
        near = replace(removal, path=copies[0] if copies else "")
        work = partial(_work, near)
        return run_stage(
            "download",
            recorded,
            parts,
            work,
            out=config.out,
            upstream=(config.pool,),
            spark=spark,
            ready="pipeline.download.ready",
            again=partial(_is_stale, config.retry_failed),
            facts=told_by_tld,
        )


def _is_stale(retry_failed: bool, report: "PartReport") -> bool:
    return report.damaged or (retry_failed and bool(report.facts.get("may_pass_later")))


def _work(removal: "Removal", config: DownloadConfig, part: "Part", folder: "PartFolder") -> "PartReport":
    from pipeline.download.settings import Downloading
    from pipeline.download.shard import download_shard

    return download_shard(Downloading.of(config, removal), part, folder)


def _write_sizes(out: str, manifest: Manifest) -> None:
    """sizes.json, from which open_clip takes the number of samples: {"00000.tar": successes}."""
    sizes = {f"{name}.tar": manifest.facts[name]["successes"] for name in manifest.parts}
    with io.atomic_write(io.join(out, "sizes.json")) as file:
        file.write(json.dumps(sizes, indent=1).encode())

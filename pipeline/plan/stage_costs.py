"""Sizes and figures → what every stage costs, stage by stage in the order of the flow."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.plan import PlanConfig
from pipeline.plan.figures import stored, told, value
from pipeline.plan.gpus import embedding_bytes, gpu_s_per_pair

_UID_BYTES = 16
_ROWS_PER_FILE = 1_000_000
_BLOCK_BYTES = 52_428_800  # s3fs writes and reads blocks of so many bytes, each by a request
_WEB_MEGAPIXELS, _SMALL_MEGAPIXELS = 0.43, 0.09  # of the two kinds of pictures that bench.score measures


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """A stage: rows, core and GPU hours of work; bytes shuffled, kept on storage, read and written; objects and requests.

    `web_bytes` come from outside (WATs, pictures), `moved_bytes` are read from and written to storage. `driver_bytes` must fit
    into one machine's memory.
    """

    stage: str
    rows_in: float
    rows_out: float
    parts: float
    core_h: float
    gpu_h: float = 0.0
    shuffle_bytes: float = 0.0
    stored_bytes: float = 0.0
    web_bytes: float = 0.0
    moved_bytes: float = 0.0
    objects: float = 0.0
    store_writes: float = 0.0
    store_reads: float = 0.0
    driver_bytes: float = 0.0


def stage_costs(config: PlanConfig) -> Iterator[StageCost]:
    """The stages that the sizes ask for."""
    pairs = config.pairs or 0.0
    if config.wats is not None:
        candidates = config.wats * config.candidates_per_wat
        pairs = pairs or candidates * config.pool_share
        yield _extract(config, config.wats, candidates)
        yield _pool(candidates, pairs)
    scored = pairs * config.success
    yield _download(config, pairs, scored)
    yield _score(config, scored)
    yield _dedup(config, scored)
    kept = scored * config.subset
    yield _filter(config, scored, kept)
    yield _reshard(config, scored, kept)
    yield _release(scored)


def _extract(config: PlanConfig, wats: float, candidates: float) -> StageCost:
    kept = candidates * value("extract.stored_bytes")
    return StageCost(
        stage="extract",
        rows_in=wats,
        rows_out=candidates,
        parts=wats,
        core_h=wats * value("extract.cpu_s") / 3600,
        shuffle_bytes=candidates * value("extract.shuffle_bytes"),
        stored_bytes=kept,
        web_bytes=wats * config.wat_mb * 1e6,
        moved_bytes=kept,
        **_requests("extract", wats, files=1, read=wats * config.wat_mb * 1e6, written=kept),
    )


def _pool(candidates: float, pairs: float) -> StageCost:
    read, kept = candidates * value("extract.stored_bytes"), pairs * value("pool.stored_bytes")
    parts = math.ceil(pairs / _ROWS_PER_FILE)
    return StageCost(
        stage="pool",
        rows_in=candidates,
        rows_out=pairs,
        parts=parts,
        core_h=candidates * value("pool.cpu_s") / 3600,
        shuffle_bytes=candidates * value("pool.shuffle_bytes"),
        stored_bytes=kept,
        moved_bytes=read + kept,
        **_requests("extract", parts, files=1, read=read, written=kept),
    )


def _download(config: PlanConfig, pairs: float, scored: float) -> StageCost:
    kind = config.pictures
    over_https = value("download.dense_https_cpu_s") - value("download.dense_cpu_s")
    each = value(f"download.{kind}_cpu_s") + config.https * over_https
    cpu_s = value("download.spark_x") * (scored * each + (pairs - scored) * value("download.failed_cpu_s"))
    kept = scored * _shard_bytes(config) + pairs * value("download.sidecar_bytes")
    parts = math.ceil(pairs / config.samples_per_shard)
    read = pairs * value("pool.stored_bytes")
    return StageCost(
        stage="download",
        rows_in=pairs,
        rows_out=scored,
        parts=parts,
        core_h=cpu_s / 3600,
        stored_bytes=kept,
        web_bytes=scored * value(f"download.{kind}_read_bytes"),
        moved_bytes=read + kept,
        **_requests("download", parts, files=3, read=read, written=kept),
    )


def _shard_bytes(config: PlanConfig) -> float:
    return stored(config.pictures, config.image_size).stored_bytes + value("download.beside_bytes")


def _score(config: PlanConfig, rows: float) -> StageCost:
    megapixels = stored(config.pictures, config.image_size).megapixels
    small, web = value("score.small_cpu_s"), value("score.web_cpu_s")
    # Straight through the two sizes measured; smaller pictures than those cost at least half as much as the smaller.
    cpu_s = max(small / 2, small + (megapixels - _SMALL_MEGAPIXELS) * (web - small) / (_WEB_MEGAPIXELS - _SMALL_MEGAPIXELS))
    gpu_s = max(gpu_s_per_pair(config.models, config.gpu, config.utilisation), cpu_s / config.cores_per_gpu)
    kept = rows * (value("score.stored_bytes") + embedding_bytes(config.models))
    read = rows * _shard_bytes(config)
    parts = math.ceil(rows / config.success / config.samples_per_shard)
    return StageCost(
        stage="score",
        rows_in=rows,
        rows_out=rows,
        parts=parts,
        core_h=rows * cpu_s / 3600,
        gpu_h=rows * gpu_s / 3600,
        stored_bytes=kept,
        moved_bytes=read + kept,
        **_requests("download", parts, files=2, read=read, written=kept),
    )


def _dedup(config: PlanConfig, rows: float) -> StageCost:
    dimensions = told()["models"][config.models[0]]["dimensions"]
    each = value("dedup.cpu_s") * max(1.0, rows / 1e6) ** (value("dedup.growth") - 1) * dimensions / 512
    laid_out = rows * 2 * (2 * dimensions + 4)  # each row's embedding once for each of its two clusters (docs/dedup.md)
    read, kept = rows * 2 * dimensions, rows * value("dedup.stored_bytes")
    parts = math.ceil(rows / config.success / config.samples_per_shard)
    return StageCost(
        stage="dedup",
        rows_in=rows,
        rows_out=rows,
        parts=parts,
        core_h=rows * each / 3600,
        shuffle_bytes=laid_out,
        stored_bytes=kept,
        moved_bytes=read + kept,
        driver_bytes=rows * value("dedup.driver_bytes"),
        **_requests("extract", parts, files=1, read=read, written=kept),
    )


def _filter(config: PlanConfig, rows: float, kept: float) -> StageCost:
    read, written = rows * value("score.stored_bytes"), kept * _UID_BYTES
    parts = math.ceil(rows / config.success / config.samples_per_shard)
    return StageCost(
        stage="filter",
        rows_in=rows,
        rows_out=kept,
        parts=parts,
        core_h=rows * value("filter.cpu_s") / 3600,
        stored_bytes=written,
        moved_bytes=read + written,
        driver_bytes=rows * value("filter.driver_bytes") + kept * value("filter.kept_bytes"),
        objects=2,
        store_writes=2 + written / _BLOCK_BYTES,
        store_reads=parts + read / _BLOCK_BYTES,
    )


def _reshard(config: PlanConfig, rows: float, kept: float) -> StageCost:
    read, written = rows * _shard_bytes(config), kept * _shard_bytes(config)
    parts = math.ceil(kept / config.samples_per_shard)
    return StageCost(
        stage="reshard",
        rows_in=rows,
        rows_out=kept,
        parts=parts,
        core_h=(rows * value("reshard.read_cpu_s") + kept * value("reshard.write_cpu_s")) / 3600,
        stored_bytes=written,
        moved_bytes=read + 2 * written,  # each input shard once whole, and its chosen samples again
        **_requests("download", parts, files=3, read=read + written, written=written),
    )


def _release(rows: float) -> StageCost:
    read = rows * (value("score.stored_bytes") + value("pool.stored_bytes"))
    written = rows * value("release.stored_bytes")
    parts = math.ceil(rows / _ROWS_PER_FILE)
    return StageCost(
        stage="release",
        rows_in=rows,
        rows_out=rows,
        parts=parts,
        core_h=rows * value("release.cpu_s") / 3600,
        shuffle_bytes=rows * value("release.shuffle_bytes"),
        stored_bytes=written,
        moved_bytes=read + written,
        driver_bytes=value("release.driver_bytes"),
        **_requests("extract", parts, files=1, read=read, written=written),
    )


def _requests(like: str, parts: float, *, files: int, read: float, written: float) -> dict[str, float]:
    """Objects and requests of parts that each leave `files` files and their record: those counted, and one for every block."""
    counted = 1 if like == "extract" else 3
    return {
        "objects": parts * (files + 1),
        "store_writes": parts * value(f"{like}.store_writes") * files / counted + written / _BLOCK_BYTES,
        "store_reads": parts * value(f"{like}.store_reads") * files / counted + read / _BLOCK_BYTES,
    }

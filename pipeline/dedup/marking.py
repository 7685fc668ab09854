"""The stage: all files are read, ranked and searched together; then each file's columns are written, one part each."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline import io
from pipeline.dedup import KINDS, DedupConfig
from pipeline.dedup.columns import Columns, Kind
from pipeline.dedup.exact import same_bytes
from pipeline.dedup.order import Order, order_of
from pipeline.dedup.perceptual import alike
from pipeline.dedup.pool import UNREADABLE, Pool, digest, problem_of, survey
from pipeline.dedup.semantic import Search, same_picture
from pipeline.dedup.spill import FOLDER, remove_folder
from pipeline.devices import device_here
from pipeline.folder_config import read_json
from pipeline.ledger import report_path, write_report
from pipeline.manifest import Manifest, PartReport, Run, hash_of, to_json
from pipeline.metadata.files import MetadataFile, columns_at_hand, metadata_files
from pipeline.progress import progress
from pipeline.stage import Part, begin, done_parts, end, failed, part_folder
from schemas.errors import UsageError, UserError

CENTROIDS = "centroids.npy"
_PHASH = "phash"
_CARDS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg", "/dev/nvhost-ctrl-gpu")  # NVIDIA, AMD, WSL, Jetson
_SEARCH = "_search.json"  # of which rows the parts tell, and what the search said


def mark(config: DedupConfig, spark: Any) -> Manifest:
    """Write the columns that `config` asks for, for every file that can be read."""
    files = metadata_files(config.metadata, config.beside)
    config, reads = _resolved(config, columns_at_hand(files))
    with begin("dedup", config, out=config.out, upstream=[config.metadata, *config.beside]) as this_run:
        return _marked(config, this_run, files, reads, spark)


def _marked(config: DedupConfig, this_run: Run, files: Sequence[MetadataFile], reads: Sequence[str], spark: Any) -> Manifest:
    parts = {file.path: Part(name=file.stem, inputs=(file.path,)) for file in files}
    done = done_parts(config.out, list(parts.values()))
    if done and (problems := _still_unreadable([f for f in files if f.stem not in done], reads)) is not None:
        reports = [done.get(part.name) or failed(part, problems[path]) for path, part in parts.items()]
        return _finish(config, this_run, reports, resumed=len(done), facts=_standing(config.out).get("facts"))
    columns = _search(config, files, spark)
    facts = {"semantic": columns.semantic.facts} if columns.semantic else {}
    done = _of_this_search(done, _state(columns), facts, config.out)
    fresh = _write(config, columns, {path: part for path, part in parts.items() if part.name not in done})
    reports = [done.get(part.name) or fresh[part.name] for part in parts.values()]
    return _finish(config, this_run, reports, resumed=len(done), facts=facts)


def _finish(config: DedupConfig, this_run: Run, reports: Sequence[PartReport], **told: Any) -> Manifest:
    """`end`; then what was spilled is removed, be it that a run which was killed while it did so has left it."""
    manifest = end(this_run, reports, **told)
    remove_folder(io.join(config.out, FOLDER))
    return manifest


def _resolved(config: DedupConfig, at_hand: Sequence[str]) -> tuple[DedupConfig, tuple[str, ...]]:
    """The config with its defaults looked up in the metadata, and all columns that will be read. Raises UsageError."""
    needed = {"exact": config.sha256_column, "perceptual": _PHASH}
    embeddings = config.embeddings
    if "semantic" in config.by:
        embeddings = embeddings or next((name for name in at_hand if name.endswith("_img")), None)
        if embeddings is None or embeddings not in at_hand:
            found = ", ".join(name for name in at_hand if name.endswith(("_img", "_txt"))) or "none"
            asked = f"--embeddings {embeddings}" if embeddings else "--by semantic"
            raise UsageError(f"{asked}: no such array in the .npz beside the metadata; there are: {found}")
        needed["semantic"] = embeddings
    for kind in config.by:
        if needed[kind] not in at_hand:
            raise UsageError(
                f"--by {kind}: the metadata has no column {needed[kind]}; run `score`, or give --beside a folder with it"
            )
    order = order_of(config.order, at_hand, embeddings)
    reads = tuple(dict.fromkeys([*order.reads, *(needed[kind] for kind in config.by)]))
    by = tuple(kind for kind in KINDS if kind in config.by)  # the order in which they are named decides nothing
    return replace(config, by=by, embeddings=embeddings, order=order.columns), reads


def _still_unreadable(files: Sequence[MetadataFile], reads: Sequence[str]) -> dict[str, str] | None:
    """Path → error where none of these files can be read even now, so that nothing is to be done; else None."""
    problems = {}
    for file in files:
        problems[file.path] = problem_of(file, reads)
        if not problems[file.path]:
            return None
    return problems


def _search(config: DedupConfig, files: Sequence[MetadataFile], spark: Any) -> Columns:
    pool = survey(files, Order(config.order))
    if not len(pool):
        raise UserError(f"{config.metadata}: its files have no rows; nothing to compare")
    kinds, semantic = _by_hash(config, pool), None
    if "semantic" in config.by:
        failed_before = len(pool.failed)
        semantic = same_picture(pool, _asked(config, spark), spark)
        if len(pool.failed) > failed_before:  # their rows may have been originals of others
            kinds = _by_hash(config, pool)
        kinds.append(Kind(name="semantic", dup_of="dup_of", near="dup_cos", found=semantic.found))
    return Columns.of(pool, kinds, semantic)


def _by_hash(config: DedupConfig, pool: Pool) -> list[Kind]:
    """What equal or near hashes tell; asked again where one column shows that a file cannot be read."""
    kinds, failed_before = [], len(pool.failed)
    if "exact" in config.by:
        column = config.sha256_column
        found, hashed = same_bytes(pool, column)
        kinds.append(Kind(name="exact", dup_of="exact_dup_of", near="", found=found, hashes=column, hashed=hashed))
    if "perceptual" in config.by:
        found, hashed = alike(pool, _PHASH, bits=config.bits, threads=config.workers)
        near = "phash_dup_bits"
        kinds.append(Kind(name="perceptual", dup_of="phash_dup_of", near=near, found=found, hashes=_PHASH, hashed=hashed))
    return kinds if len(pool.failed) == failed_before else _by_hash(config, pool)


def _asked(config: DedupConfig, spark: Any) -> Search:
    on_gpu = spark is not None and float(spark.conf.get("spark.task.resource.gpu.amount", "0")) > 0
    device = config.device if spark is not None else _device(config.device)
    return Search(
        column=config.embeddings or "",
        floor=config.floor,
        clusters=config.clusters,
        seed=config.seed,
        memory_gb=config.memory_gb,
        device=device,
        plan_device="cuda" if on_gpu or device.startswith("cuda") else "cpu",
        threads=config.workers,
        out=config.out,
    )


def _device(asked: str) -> str:
    """As `device_here`, but on a machine without any card torch is not loaded to say so: 2 s and 190 MB."""
    no_card = sys.platform == "linux" and not any(map(os.path.exists, _CARDS))
    device = "cpu" if asked == "auto" and no_card else device_here(asked)
    if device != "cpu":
        import torch

        if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
            raise UsageError(f"--device {asked}: torch sees {torch.cuda.device_count()} GPUs here; give another, or cpu")
    return device


def _state(columns: Columns) -> str:
    """A hash of what was searched and how: a run that goes on elsewhere may have another device, and so other clusters."""
    told = {"pool": columns.pool.state}
    if columns.semantic is not None:
        told |= {"centroids": digest(columns.semantic.centroids), "device": columns.semantic.facts["device"]}
    return hash_of(told)


def _of_this_search(done: dict[str, PartReport], state: str, facts: Mapping[str, Any], out: str) -> dict[str, PartReport]:
    """The parts that stand, unless they tell of another search, as where a file could not be read then: they are made anew."""
    if _standing(out).get("state") == state:
        return done
    for name in done:
        io.remove(report_path(out, name))
    with io.atomic_write(io.join(out, _SEARCH)) as file:
        file.write(to_json({"state": state, "facts": facts}))
    return {}


def _standing(out: str) -> dict[str, Any]:
    """What the search said of which the parts in the folder tell."""
    path = io.join(out, _SEARCH)
    return dict(read_json(path)) if io.exists(path) else {}


def _write(config: DedupConfig, columns: Columns, parts: dict[str, Part]) -> dict[str, PartReport]:
    """Do these parts, of files that could be read, by path; the reports by the name of the part."""
    if columns.semantic is not None:
        with io.atomic_write(io.join(config.out, CENTROIDS)) as file:
            np.save(file, columns.semantic.centroids)
    numbers = {file.path: number for number, file in enumerate(columns.pool.files)}
    reports = {}
    for path, part in progress(parts.items(), total=len(parts), label="dedup: write", unit="file"):
        error = columns.pool.failed.get(path)
        reports[part.name] = failed(part, error) if error else _write_part(config, columns, numbers[path], part)
    return reports


def _write_part(config: DedupConfig, columns: Columns, number: int, part: Part) -> PartReport:
    started = time.monotonic()
    try:
        with part_folder(config.out, part) as folder:
            report = columns.write(number, part, folder, config.floor)
            report = replace(report, files=folder.commit(), duration_s=round(time.monotonic() - started, 3))
    except UNREADABLE as error:  # it could be read a while ago
        return failed(part, str(error))
    except OSError as error:
        io.require_room(config.out, error)
        raise
    write_report(config.out, report)
    return report


__all__ = ["CENTROIDS", "mark"]

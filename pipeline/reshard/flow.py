"""The order of things: find the shards, prepare the subset, plan, write, account."""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pipeline import io
from pipeline.lease import held
from pipeline.manifest import CONFIG_NAME, MANIFEST_NAME, PARTS_FOLDER, Manifest, PartReport
from pipeline.reshard.account import named_missing, published, whole_account
from pipeline.reshard.faces import read_map
from pipeline.reshard.inputs import Inputs, checked_format, find
from pipeline.reshard.order import ShardPart, Source, shard_parts
from pipeline.reshard.plan import PlanConfig, PlanPart, plan_shard
from pipeline.reshard.subset import Subset, prepare
from pipeline.reshard.write import PLAN_FACT, write_shard
from pipeline.stage import begin, run_stage
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.reshard import ReshardConfig

PLAN_FOLDER = "_plan"
SUBSET_COPY = "sample_ids.npy"


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a run reads: the config completed, the shards, the subset, and per shard's name the parquet with its faces."""

    config: "ReshardConfig"
    inputs: Inputs
    subset: Subset
    boxes: dict[str, str]


def reshard(config: "ReshardConfig", spark: Any) -> Manifest:
    """`run` of the stage."""
    _require_sound(config)
    with tempfile.TemporaryDirectory(prefix="webpairs-reshard-") as scratch:
        given = _given(config, scratch, spark)
        if given.inputs.missing and not config.quiet:
            what = f"missing shards ({given.inputs.n_missing}): {', '.join(named_missing(given))}"
            print(f"reshard: {config.input_dir}: {what}", file=sys.stderr)
        if config.dry_run:
            tried = io.join(scratch, PLAN_FOLDER)
            return whole_account(_planned(given, tried, None), tried, given)
        with held("reshard", config.output_dir):
            _make_way(config)
            with begin("reshard", given.config, out=config.output_dir):
                return _resharded(given, spark)


def _resharded(given: Given, spark: Any) -> Manifest:
    config, out = given.config, given.config.output_dir
    with io.open_read(config.subset_file) as source, io.atomic_write(io.join(out, SUBSET_COPY)) as target:
        shutil.copyfileobj(source, target, 2**24)
    place = io.join(out, PLAN_FOLDER)
    plan = _planned(given, place, spark)
    parts = _parts(given, plan)
    plans = {part.name: part.plan for part in parts}

    def is_stale(report: PartReport) -> bool:
        return report.damaged or report.facts.get(PLAN_FACT) != plans[report.name]

    written = run_stage("reshard", config, parts, write_shard, out=out, spark=spark, again=is_stale)
    return published(whole_account(plan, place, given, written=written), parts, given)


def _require_sound(config: "ReshardConfig") -> None:
    checked_format(config.output_shard_format, "--output-shard-format")
    checked_format(config.output_shard_stats_format, "--output-shard-stats-format")
    if config.shard_format is not None:
        checked_format(config.shard_format, "--shard-format")
    shard, stats = config.output_shard_format.format(0), config.output_shard_stats_format.format(0)
    if stats in (shard, f"{shard.removesuffix('.tar')}.parquet"):
        raise UsageError(
            f"--output-shard-stats-format {config.output_shard_stats_format}: the name of a shard or its sidecar; give another"
        )
    if io.is_same(config.input_dir, config.output_dir):
        raise UsageError(f"{config.output_dir}: --output-dir is the folder that reshard reads; give another")
    for name in ("subset_file", "blur_metadata_map"):
        path = getattr(config, name)
        if path is not None and io.is_same(path.rpartition("/")[0] or ".", config.output_dir):
            raise UsageError(f"--{name.replace('_', '-')} {path}: lies in --output-dir; move it, as it would be written over")


def _given(config: "ReshardConfig", scratch: str, spark: Any) -> Given:
    inputs = find(
        config.input_dir,
        first=config.first_shard,
        count=config.num_shards,
        form=config.shard_format,
        stats_form=config.shard_stats_format,
        table=config.shard_table,
    )
    subset = prepare(config.subset_file, scratch)
    boxes, boxes_hash = {}, ""
    if config.blur_metadata_map is not None and (config.apply_blur or config.inject_blur_metadata):
        boxes = read_map(config.blur_metadata_map, config.input_dir)
        boxes_hash = sha256(io.read_bytes(config.blur_metadata_map)).hexdigest()
    place = subset.path
    if spark is not None and not config.dry_run:  # executors have no scratch of this machine's
        if not subset.is_sorted:
            raise UserError(f"{config.subset_file}: not sorted; on a cluster give one that np.sort has sorted, as `filter` does")
        place = config.subset_file if not io.is_local(config.subset_file) else io.absolute(config.subset_file)
    workers = config.num_workers or config.workers
    done = replace(config, workers=workers, subset=subset.sha256, inputs=inputs.content, boxes=boxes_hash, subset_at=place)
    return Given(config=done, inputs=inputs, subset=subset, boxes=boxes)


def _make_way(config: "ReshardConfig") -> None:
    """Remove what stands in the folder if that is wished. Raises UserError where something does that no stage of ours wrote."""
    out = config.output_dir
    if not io.exists(out):
        return
    if config.overwrite:
        plan = io.join(out, PLAN_FOLDER)
        for folder in (out, io.join(out, PARTS_FOLDER), plan, io.join(plan, PARTS_FOLDER)):
            _clear(folder)
    elif io.sizes(out) and not io.exists(io.join(out, CONFIG_NAME)):
        raise UserError(f"{out}: not empty, and not made by reshard; give another --output-dir, or --overwrite to empty it")


def _clear(folder: str) -> None:
    """Remove a folder's own files, and not those of folders in it."""
    if not io.exists(folder):
        return
    io.remove(io.join(folder, MANIFEST_NAME))
    for name in io.sizes(folder):
        io.remove(io.join(folder, name))
    io.sweep(folder)
    io.remove(io.join(folder, CONFIG_NAME))


def _planned(given: Given, out: str, spark: Any) -> Manifest:
    config = given.config
    parts = [
        PlanPart(name=shard.stem, inputs=(io.absolute(shard.path),), shard=replace(shard, path=io.absolute(shard.path)))
        for shard in given.inputs.shards
    ]
    wanted = PlanConfig(
        workers=config.workers,
        tolerate_failed=config.tolerate_failed,
        subset=config.subset,
        inputs=config.inputs,
        subset_at=config.subset_at,
    )
    return run_stage("reshard plan", wanted, parts, plan_shard, out=out, spark=spark)


def _parts(given: Given, plan: Manifest) -> Sequence[ShardPart]:
    """The output shards that the plan's picks fill. A shard that could not be looked through has none."""
    config, sources, first = given.config, [], 0
    has_sidecars = all(shard.sidecar for shard in given.inputs.shards)
    for shard in given.inputs.shards:
        told = plan.facts.get(shard.stem)
        if told is None or not told["copies"]:
            continue
        sources.append(
            Source(
                path=io.absolute(shard.path),
                picks=io.absolute(io.join(config.output_dir, PLAN_FOLDER, f"{shard.stem}.npy")),
                first=first,
                copies=told["copies"],
                sha256=told["sha256"],
                sidecar=io.absolute(shard.sidecar) if has_sidecars else "",
                boxes=given.boxes.get(shard.name, ""),
            )
        )
        first += told["copies"]
    return shard_parts(
        sources, shard_size=config.shard_size, shuffle_bufsize=config.shuffle_bufsize, form=config.output_shard_format
    )

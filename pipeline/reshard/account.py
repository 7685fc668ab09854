"""What a run says: the counts of plan and shards together, the uids that no shard has, and DataComp's files beside the shards."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import io
from pipeline.account import publish
from pipeline.ledger import recorded, report_path, reports_of
from pipeline.manifest import Manifest, total
from pipeline.reshard.order import ShardPart
from pipeline.reshard.plan import read_picks

if TYPE_CHECKING:
    from pipeline.reshard.flow import Given

_MOST_NAMED = 20  # ranges
_NOT_DATACOMPS = {"workers", "tolerate_failed", "subset", "inputs", "boxes", "subset_at"}


def whole_account(plan: Manifest, plan_folder: str, given: "Given", *, written: Manifest | None = None) -> Manifest:
    """The manifest of the run, of the plan alone where nothing is `written`."""
    found = found_uids(plan, plan_folder, given.subset.rows)
    kept = plan.counts.get("samples_kept", 0)
    told = {
        "missing_shards": given.inputs.n_missing,
        "uids_not_found": given.subset.distinct - found,
        "repeated_samples": kept - found,  # of a uid that another sample has too
    }
    facts: dict[str, Any] = {"subset_rows": given.subset.rows}
    if given.inputs.missing:
        facts["missing_shards"] = named_missing(given)
    if written is None:
        copies = sum(each["copies"] for each in plan.facts.values())
        return replace(plan, stage="reshard, dry run", counts=total([plan.counts, told, {"rows_out": copies}]), facts=facts)
    return replace(
        written,
        counts=total([plan.counts, written.counts, told, {"rows_out": 0}]),
        inputs=(*plan.inputs, *written.inputs),
        facts=facts,
        peak_rss_bytes=max(plan.peak_rss_bytes, written.peak_rss_bytes),
    )


def named_missing(given: "Given") -> list[str]:
    """The numbers, as ranges, of input shards that are missing; the first of them unless all are asked for."""
    named = given.inputs.missing
    return [*named] if given.config.verbose or len(named) <= _MOST_NAMED else [*named[:_MOST_NAMED], "…"]


def found_uids(plan: Manifest, folder: str, rows: int) -> int:
    """How many different uids of the subset of `rows` uids some sample has: one byte a uid, in a file that is mapped."""
    if not rows or not plan.facts:
        return 0
    with tempfile.TemporaryFile() as file:
        file.truncate(rows)
        found = np.memmap(file, np.bool_, mode="r+", shape=(rows,))
        count = 0
        for name in plan.facts:
            places = np.unique(read_picks(io.join(folder, f"{name}.npy"))["place"])
            count += len(places) - int(np.count_nonzero(found[places]))
            found[places] = True
        return count


def published(manifest: Manifest, parts: Sequence[ShardPart], given: "Given") -> Manifest:
    """Write what stands beside the shards; remove what an earlier plan had more; write the manifest, which is returned."""
    config = given.config
    out = config.output_dir
    names = [part.name for part in parts]
    _drop_stale(out, set(names))
    successes = {name: report.counts.get("rows_out", 0) for name, report in reports_of(out, names).items()}
    if config.write_shard_table:
        tars = {config.output_shard_format.format(part.number): successes[part.name] for part in parts if part.name in successes}
        _write_json(io.join(out, config.shard_table.rsplit("/", 1)[-1]), tars)
    options = {field.name: str(getattr(config, field.name)) for field in fields(config) if field.name not in _NOT_DATACOMPS}
    done = {
        "processed_count": manifest.counts.get("samples_in", 0),
        "output_count": sum(successes.values()),
        "blur_count": manifest.counts.get("blurred", 0),
        "output_shard_count": len(successes),
        "cwd": os.getcwd(),
    }
    _write_json(io.join(out, "meta.json"), {**options, **done})
    return publish(out, manifest)


def _drop_stale(out: str, names: set[str]) -> None:
    stale = sorted(recorded(out) - names)
    for name, report in reports_of(out, stale).items():
        for file in report.files:
            io.remove(io.join(out, file))
        io.remove(report_path(out, name))


def _write_json(path: str, value: Any) -> None:
    with io.atomic_write(path) as file:
        file.write(json.dumps(value).encode())

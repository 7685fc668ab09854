"""The order of things: compile the lists, find the rows, write the next revision; translate shards and further subsets."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline import io
from pipeline.lease import held
from pipeline.ledger import reports_of
from pipeline.manifest import MANIFEST_NAME, Manifest, total
from pipeline.release.layout import DATA
from pipeline.revise.finding import found_in_subsets, found_rows, found_uids, not_compared
from pipeline.revise.given import Given, by_ledgers, given
from pipeline.revise.gone import Gone, uids_in
from pipeline.revise.ledger import ledger_names, ledger_of
from pipeline.revise.publishing import Revised, publish, require_place, swept
from pipeline.revise.rewrite import write_part
from pipeline.revise.shards import shard_parts, translate_shard, write_sizes
from pipeline.revise.source import file_parts, read_old, whole
from pipeline.revise.subsets import going, translate
from pipeline.revise.verify import verify
from pipeline.stage import run_stage
from schemas.errors import UsageError, UserError

if TYPE_CHECKING:
    from pipeline.revise import ReviseConfig

WORK = "_revising"
Counts = dict[str, int]


def revise(config: "ReviseConfig") -> Manifest:
    """`run` of the stage."""
    with given(config) as what:
        if config.verify:
            return verify(what)
        run = what.run
        counts, facts, gone, revision = _next(what) if config.remove else _followed(what)
        beside = [_translate_subsets(what, gone, revision), _translate_shards(what, gone)]
        return run.manifest(counts=total([counts, *beside]), inputs=(), parts=(), facts=facts)


def _followed(what: Given) -> tuple[Counts, dict[str, Any], Gone, int]:
    """What went from a release by its own ledgers."""
    names = ledger_names(what.old.release)
    if not names:
        raise UserError(f"{what.old.folder}: a first revision, which has no ledger to follow; give lists with --remove")
    return {}, {}, by_ledgers(what, names), what.old.release.revision


def _next(what: Given) -> tuple[Counts, dict[str, Any], Gone, int]:
    """Write the next revision, if there is anything to remove."""
    out, old = str(what.config.out), what.old
    if io.is_same(out, old.folder):
        raise UsageError(f"--out {out}: is the release itself; give another folder, so that nothing is overwritten")
    if io.is_inside(out, old.folder):
        raise UsageError(f"--out {out}: is inside of the release; give a folder of its own, which is published apart from it")
    work = io.join(out, WORK)
    require_place(out, work, old, what.recorded)
    with held("revise", work):
        by_shards = found_uids(what, io.join(work, "sidecars")) if what.config.shards else None
        hits, rows, facts = found_rows(what, io.join(work, "rows"), by_shards)
        hits = pa.concat_tables([hits, found_in_subsets(what, hits, by_shards)])
        gone = _gone(what, [hits] if by_shards is None else [hits, by_shards])
        entries = sum(int(going(old.path(name), gone, what.listed)[1].sum()) for name in old.release.subsets)
        counts = {"rows_in": rows, "rows_removed": 0, "subset_entries_removed": entries}
        if len(hits) or entries:
            counts |= _written(what, hits, gone)
    swept(out, work)
    for kind in facts.get("images_not_compared_with", ()):
        print(f"revise: {not_compared(kind)}", flush=True)
    if not (len(hits) or entries):
        print(f"revise: nothing on these lists is in {old.folder}: no revision was written", flush=True)
    return counts, facts, gone, old.release.revision + 1


def _gone(what: Given, hits: Sequence[pa.Table]) -> Gone:
    uids = pa.concat_tables(hits)["uid"].combine_chunks()
    places, keys = uids_in(uids)
    if len(places) != len(uids):
        odd = next(uid for uid in uids.to_pylist() if not len(uids_in(pa.array([uid], pa.string()))[0]))
        raise UserError(f"{what.old.folder}: a listed row has the uid {odd!r}, which is not 32 hex digits; nothing was published")
    return Gone.written(str(Path(what.scratch) / "gone.npy"), keys)


def _written(what: Given, hits: pa.Table, gone: Gone) -> Counts:
    """Write the next revision, unless it stands whole."""
    out, old = str(what.config.out), what.old
    ledger = ledger_of(hits, what.listed.digests)
    revised = Revised(old=old, recorded=what.recorded, ledger=ledger, entries=what.listed.entries)
    if revised.is_at(out):
        print(f"revise: {out} is that revision already", flush=True)
        return {"rows_removed": read_old(out).release.removed[-1]["rows"]}
    data, parts = io.join(out, DATA), file_parts(old)
    settings = replace(what.recorded, shards=sha256(Path(gone.path).read_bytes()).hexdigest())
    made = whole(run_stage("revise", settings, parts, partial(write_part, gone), out=data))
    publish(out, revised, made.facts, gone, what.listed)
    return made.counts


def _translate_subsets(what: Given, gone: Gone, revision: int) -> Counts:
    """Further subset files, under their names in --subsets-out."""
    sources = what.config.subsets
    names = {path.rstrip("/").rsplit("/", 1)[-1]: path for path in sources}
    if len(names) < len(sources):
        raise UsageError(f"--subsets {' '.join(sources)}: two of them have one name; give different ones, or run twice")
    removed = 0
    for name, path in names.items():
        target = io.join(str(what.config.subsets_out), name)
        if io.is_same(path, target):
            raise UsageError(f"--subsets-out {what.config.subsets_out}: has {name} itself; give another folder")
        removed += translate(path, target, gone, what.listed, revision).gone
    return {"further_subset_entries_removed": removed} if sources else {}


def _translate_shards(what: Given, gone: Gone) -> Counts:
    """The shards, in --shards-out: all of them or, where one cannot be read, a folder that is not complete."""
    shards, out = what.config.shards, what.config.shards_out
    if not shards or not out:
        return {}
    parts = shard_parts(shards)
    settings = replace(what.recorded, shards=sha256(Path(gone.path).read_bytes()).hexdigest())
    work = partial(translate_shard, what.listed, gone)
    made = run_stage("revise shards", settings, parts, work, out=out, upstream=(shards,))
    try:
        whole(made)
    except UserError:
        io.remove(io.join(out, MANIFEST_NAME))  # no stage may take it for whole
        raise
    reports = reports_of(out, [part.name for part in parts])
    write_sizes(out, {part.name: reports[part.name].facts["_successes"] for part in parts if part.tar})
    return made.counts

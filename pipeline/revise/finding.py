"""Lists + release → HITS: the rows that are to go. What the sidecars of its shards tell of a pair counts for its row, too."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline import io
from pipeline.manifest import InputReport, PartReport, hash_of
from pipeline.revise.given import Given
from pipeline.revise.gone import Gone, uids_in
from pipeline.revise.listed import Listed
from pipeline.revise.scan import BY_SHARD, HITS, Recorded, columns_of, scan_part
from pipeline.revise.shards import ShardPart, hit_uids, shard_parts
from pipeline.revise.source import file_parts, whole
from pipeline.stage import Part, PartFolder, require_complete, run_stage
from pipeline.subset_file import read_subset
from schemas.errors import UserError
from schemas.subsets import array_to_uids, sort_rows


def found_uids(what: Given, work: str) -> pa.Table:
    """HITS of the pairs that the shards' sidecars know, in order of shards; a uid that a sidecar makes up for is one, too."""
    shards = str(what.config.shards)
    parts = [part for part in shard_parts(shards) if part.sidecar]
    settings = Recorded(**{**vars(what.recorded), "shards": require_complete(shards)})
    manifest = whole(run_stage("revise", settings, parts, partial(_scan_sidecar, what.listed), out=work))
    return _hits(work, manifest.parts)


def found_rows(what: Given, work: str, by_shards: pa.Table | None) -> tuple[pa.Table, int, dict[str, Any]]:
    """HITS of the release's rows in their order, how many rows there are, and what the manifest tells of the search.

    Raises UserError where a file is not what SHA256SUMS says, or where images are to be compared and nothing is known of them.
    """
    require_addresses(what)
    require_images(what)
    also = Gone() if by_shards is None else _shard_gone(what, by_shards)
    told = "" if by_shards is None else hash_of({"uids": by_shards.to_pydict()})
    settings = Recorded(**{**vars(what.recorded), "shards": told})
    parts = file_parts(what.old)
    manifest = whole(run_stage("revise", settings, parts, partial(scan_part, what.listed, also), out=work))
    hits = _hits(work, [part.name for part in parts])
    if by_shards is not None:
        hits = _explained(hits, by_shards)
    facts: dict[str, Any] = {
        "images_not_compared_with": sorted({kind for fact in manifest.facts.values() for kind in fact["without_images"]}),
        "rows_without_phash": manifest.counts.get("rows_without_phash", 0),
    }
    return hits, manifest.counts.get("rows_in", 0), {name: value for name, value in facts.items() if value}


def found_in_subsets(what: Given, hits: pa.Table, by_shards: pa.Table | None) -> pa.Table:
    """HITS of the pairs that only subsets of the release have, listed by uid or hit by what a sidecar tells: they go, too."""
    release, known = what.old.release, pc.utf8_lower(hits["uid"])
    if not release.subsets:
        return HITS.empty_table()
    uids = sort_rows(np.concatenate([read_subset(what.old.path(name)) for name in release.subsets]))
    uids = uids[np.append(True, uids[1:] != uids[:-1])[: len(uids)]]
    asked = _shard_gone(what, by_shards).has(uids) if by_shards is not None else np.zeros(len(uids), bool)
    texts = pa.array(array_to_uids(uids[asked | what.listed.uids(uids)]), pa.string())
    texts = texts.filter(pc.invert(pc.is_in(texts, known.combine_chunks())))
    codes, lists = what.listed.judge(pa.RecordBatch.from_arrays([texts], ["uid"]))
    found = pa.Table.from_arrays([texts, pa.array(np.where(codes, codes, np.int8(BY_SHARD))), pa.array(lists)], schema=HITS)
    return found if by_shards is None else _explained(found, by_shards)


def require_images(what: Given) -> None:
    """Raises UserError for lists of perceptual hashes where the release has none: nothing would come of them, unsaid."""
    if not what.listed.has("phash"):
        return
    for name in what.old.release.data:
        if "phash" not in columns_of(what.old.path(name)):
            raise UserError(
                f"{what.old.path(name)}: no column phash to compare perceptual hashes with; revise without that list, "
                "or publish a release of scored pairs"
            )


def require_addresses(what: Given) -> None:
    """Raises UserError for lists of URLs or domains where rows have no address to compare: they would pass for searched."""
    if not what.listed.has("url", "domain"):
        return
    wanted = ("url", *["page_url"] * what.listed.pages)
    for path in map(what.old.path, what.old.release.data):
        try:
            there = columns_of(path)
        except UserError:  # whoever reads its rows tells of it
            continue
        if missing := [name for name in wanted if name not in there]:
            otherwise = ", or leave out --pages" if missing[0] == "page_url" else ""
            raise UserError(
                f"{path}: no column {missing[0]} to compare URLs and domains with; pull that column, too{otherwise}, "
                "or revise without those lists"
            )


def not_compared(kind: str) -> str:
    """That entries of a kind were looked for among uids and hashes of URLs, but not among hashes of images: none are known."""
    return f"the release has no {kind} of any image: what the lists have as {kind} was compared with uids and URLs only"


def _scan_sidecar(listed: Listed, _config: Any, part: Part, folder: PartFolder) -> PartReport:
    assert isinstance(part, ShardPart)  # noqa: S101 - the stage plans no other parts
    rows = list(hit_uids(listed, part.sidecar))
    uids, codes, lists = zip(*rows, strict=True) if rows else ((), (), ())
    columns = [pa.array(values, field.type) for values, field in zip((uids, codes, lists), HITS, strict=True)]
    with folder.open(f"{part.name}.parquet") as file:
        pq.write_table(pa.Table.from_arrays(columns, schema=HITS), file)
    return PartReport(name=part.name, inputs=(InputReport(path=part.sidecar),))


def _hits(work: str, names: Any) -> pa.Table:
    tables = []
    for name in names:
        with io.open_read(io.join(work, f"{name}.parquet")) as file:
            tables.append(pq.read_table(file))
    return pa.concat_tables(tables) if tables else HITS.empty_table()


def _shard_gone(what: Given, by_shards: pa.Table) -> Gone:
    _, keys = uids_in(by_shards["uid"].combine_chunks())
    return Gone.written(str(Path(what.scratch) / "by_shards.npy"), keys)


def _explained(hits: pa.Table, by_shards: pa.Table) -> pa.Table:
    """Rows that are hit by a shard's sidecar alone get its reason and list."""
    codes, lists = (hits[name].to_numpy().copy() for name in ("code", "list"))
    places = np.flatnonzero(codes == BY_SHARD)
    asked = pc.utf8_lower(hits["uid"].take(pa.array(places)))
    at = pc.index_in(asked, by_shards["uid"].combine_chunks())
    codes[places], lists[places] = by_shards["code"].take(at).to_numpy(), by_shards["list"].take(at).to_numpy()
    return pa.Table.from_arrays([hits["uid"].combine_chunks(), pa.array(codes), pa.array(lists)], schema=HITS)

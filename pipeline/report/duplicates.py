"""What dedup and decontaminate wrote → the largest groups of copies, as pictures, and counts of pairs near evaluation images."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.report.charts import bare
from pipeline.report.read import Root
from pipeline.report.svg import BLUE, MUTED, draw_svg
from schemas.errors import UserError

# What the report calls a copy, where no subset's filter says it otherwise.
_COSINE, _BITS = 0.95, 4
_MOST_COPIES = 2_000_000  # looked at: a report is drawn on one machine, of a pool of any size
_GROUPS, _SHOWN = 6, 6  # groups, and members of each
_BINS = 40


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to find copies: its name, the column that tells of it, and the bound on the column `by` that makes a copy."""

    name: str
    of: str
    said: str
    by: str | None = None
    bound: float = 0.0

    def is_copy(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) bool."""
        marked = np.asarray(batch[self.of].is_valid())
        if self.by is None:
            return marked
        values = batch[self.by].cast(pa.float64()).to_numpy(zero_copy_only=False)
        near = values >= np.float32(self.bound) if self.by == "dup_cos" else values <= self.bound
        found: np.ndarray = marked & near
        return found


def kinds_of(root: Root) -> tuple[Kind, ...]:
    """The kinds, with the bounds that the subsets' own filters set."""
    resolved = [subset.made.get("resolved") for subset in root.subsets]
    cosine = min(_set_by(resolved, "semantic_dedup", "cosine"), default=_COSINE)
    bits = max(_set_by(resolved, "perceptual_dedup", "bits"), default=_BITS)
    alike, near = f"embeddings with a cosine of at least {cosine:g}", f"perceptual hashes that differ in at most {bits:g} bits"
    return (
        Kind(name="semantic", of="dup_of", by="dup_cos", bound=cosine, said=alike),
        Kind(name="perceptual", of="phash_dup_of", by="phash_dup_bits", bound=bits, said=near),
        Kind(name="exact", of="exact_dup_of", said="files of the same bytes"),
    )


def _set_by(part: Any, name: str, parameter: str) -> list[float]:
    """Every number that a described filter of that name, or a member, has as this parameter."""
    if isinstance(part, list):
        return [value for member in part for value in _set_by(member, name, parameter)]
    if not isinstance(part, dict):
        return []
    own = part.get(parameter) if part.get("filter") == name else None
    inner = _set_by([value for value in part.values() if isinstance(value, dict | list)], name, parameter)
    return [*([float(own)] if isinstance(own, int | float) else []), *inner]


def duplicates(root: Root) -> dict[str, Any]:
    """Per kind of copy its number and groups; the largest groups' uids; how cosines are spread. Nothing where none was sought."""
    files = [path for folder in _folders(root, "dedup") for path in io.list_files(folder, ".parquet")]
    kinds: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for kind in kinds_of(root):
        copies = _copies(files, kind)
        if copies is None:
            continue
        found = _grouped(copies)
        largest = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
        kinds.append(
            {
                "name": kind.name,
                "said": kind.said,
                "copies": len(copies),
                "groups": len(found),
                "largest": 1 + len(largest[0][1]) if largest else 0,
            }
        )
        if not groups:
            groups = [
                {"root": uid, "size": 1 + len(members), "uids": [uid, *members[: _SHOWN - 1]]}
                for uid, members in largest[:_GROUPS]
            ]
    return {"kinds": kinds, "groups": groups, "plot": _histogram(files, kinds_of(root)[0].bound)}


def contamination(root: Root) -> list[dict[str, Any]]:
    """Per evaluation set its images, and the pairs that are near one."""
    rows = []
    for manifest in root.of("decontaminate"):
        sets = manifest.facts.get("sets")
        for name, told in sets.items() if isinstance(sets, dict) else ():
            if isinstance(told, dict):
                rows.append({"set": name, "images": told.get("images", 0), "near": told.get("pairs_near", 0)})
    return rows


def _folders(root: Root, stage: str) -> list[str]:
    return [io.join(root.path, folder) for folder, manifest in root.folders.items() if manifest.stage == stage]


def _copies(files: Sequence[str], kind: Kind) -> dict[str, str] | None:
    """Copy → the pair that it is a copy of; None where no file has this kind's columns."""
    found: dict[str, str] | None = None
    for batch in _batches(files, [kind.of, *([kind.by] if kind.by else [])]):
        found = {} if found is None else found
        copies = batch.filter(pa.array(kind.is_copy(batch)))
        found.update(zip(copies["uid"].to_pylist(), copies[kind.of].to_pylist(), strict=True))
        if len(found) > _MOST_COPIES:
            break
    return found


def _grouped(copies: dict[str, str]) -> dict[str, list[str]]:
    """Root → its copies, and theirs, in order of uid."""
    groups: dict[str, list[str]] = defaultdict(list)
    roots: dict[str, str] = {}
    for uid in sorted(copies):
        path, at = dict[str, None](), uid  # a dict, since it may be long
        while at in copies and at not in roots and at not in path:
            path[at] = None
            at = copies[at]
        end = roots.get(at, at)
        roots.update(dict.fromkeys(path, end))
        if end != uid:
            groups[end].append(uid)
    return groups


def _histogram(files: Sequence[str], bound: float) -> Any:
    """How cosines are spread between the least and 1, those from `bound` on in colour; None where there are none."""
    least = min((float(np.nanmin(values)) for values in _cosines(files)), default=None)
    if least is None:
        return None
    step = max((1 - min(least, bound)) / _BINS, 1e-4)
    edges = bound + step * np.arange(int(np.floor((least - bound) / step)), int(np.ceil((1 - bound) / step)) + 2)
    counts = np.zeros(len(edges) - 1, np.int64)
    for values in _cosines(files):
        counts += np.histogram(values, edges)[0]

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        colours = [BLUE if edge >= bound - step / 2 else MUTED for edge in edges[:-1]]
        axes.bar(edges[:-1], counts, step, align="edge", color=colours, linewidth=0)
        bare(axes, "y")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("cosine to the nearest earlier pair")
        axes.set_ylabel("pairs")

    near = int(counts[edges[:-1] >= bound - step / 2].sum())
    return draw_svg(draw, (4.95, 2.25), f"Pairs by cosine to their nearest earlier pair: {near:,} at {bound:g} or more")


def _cosines(files: Sequence[str]) -> Iterator[np.ndarray]:
    """Those of each batch that has any."""
    for batch in _batches(files, ["dup_cos"]):
        values = batch["dup_cos"].drop_null().to_numpy(zero_copy_only=False)
        if np.isfinite(values).any():
            yield values[np.isfinite(values)]


def _batches(files: Sequence[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for path in files:
        try:
            with io.open_read(path) as source:
                parquet = pq.ParquetFile(source)
                if set(columns) <= set(parquet.schema_arrow.names):
                    yield from parquet.iter_batches(columns=["uid", *columns])
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run `webpairs dedup` again") from error

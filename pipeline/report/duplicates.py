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

COPY_FROM = 0.95  # cosine from which on the report calls a pair a copy
_MOST_BITS = 4
_MOST_COPIES = 2_000_000  # looked at: a report is drawn on one machine, of a pool of any size
_GROUPS, _SHOWN = 6, 6  # groups, and members of each


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A way to find copies: its name, the columns that tell of it, and from where on the report counts."""

    name: str
    of: str
    by: str | None
    said: str

    def is_copy(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) bool."""
        marked = np.asarray(batch[self.of].is_valid())
        if self.by is None:
            return marked
        values = batch[self.by].cast(pa.float64()).to_numpy(zero_copy_only=False)
        near = values >= np.float32(COPY_FROM) if self.by == "dup_cos" else values <= _MOST_BITS
        found: np.ndarray = marked & near
        return found


KINDS = (
    Kind(name="semantic", of="dup_of", by="dup_cos", said=f"embeddings with a cosine of at least {COPY_FROM}"),
    Kind(
        name="perceptual",
        of="phash_dup_of",
        by="phash_dup_bits",
        said=f"perceptual hashes that differ in at most {_MOST_BITS} bits",
    ),
    Kind(name="exact", of="exact_dup_of", by=None, said="files of the same bytes"),
)


def duplicates(root: Root) -> dict[str, Any]:
    """Per kind of copy its number and groups; the largest groups' uids; how cosines are spread. Nothing where none was sought."""
    files = [path for folder in _folders(root, "dedup") for path in io.list_files(folder, ".parquet")]
    kinds: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for kind in KINDS:
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
    return {"kinds": kinds, "groups": groups, "plot": _histogram(files)}


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
        path, at = [], uid
        while at in copies and at not in roots and at not in path:
            path.append(at)
            at = copies[at]
        end = roots.get(at, at)
        roots.update(dict.fromkeys(path, end))
        if end != uid:
            groups[end].append(uid)
    return groups


def _histogram(files: Sequence[str]) -> Any:
    edges = np.linspace(0.8, 1.0, 41)
    counts = np.zeros(40, np.int64)
    for batch in _batches(files, ["dup_cos"]):
        values = batch["dup_cos"].drop_null().to_numpy(zero_copy_only=False)
        counts += np.histogram(np.minimum(values[~np.isnan(values)], 1.0), edges)[0]
    if not counts.any():
        return None

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        colours = [BLUE if edge >= COPY_FROM - 1e-6 else MUTED for edge in edges[:-1]]
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours, linewidth=0)
        first = int(np.flatnonzero(counts)[0])
        axes.set_xlim(edges[max(0, first - 1)], 1.0)
        bare(axes, "y")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("cosine to the nearest earlier pair")
        axes.set_ylabel("pairs")

    near = int(counts[edges[:-1] >= COPY_FROM - 1e-6].sum())
    label = f"Pairs by cosine to their nearest earlier pair: {near:,} at {COPY_FROM} or more"
    return draw_svg(draw, (4.95, 2.25), label)


def _batches(files: Sequence[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for path in files:
        try:
            with io.open_read(path) as source:
                parquet = pq.ParquetFile(source)
                if set(columns) <= set(parquet.schema_arrow.names):
                    yield from parquet.iter_batches(columns=["uid", *columns])
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: cannot be read ({error}); run `webpairs dedup` again") from error

"""What was found → columns of uids, per metadata file, in the order of its rows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.dedup.found import Found
from pipeline.dedup.pool import Pool
from pipeline.dedup.semantic import Semantic
from pipeline.manifest import InputReport, PartReport, peak_rss_bytes
from pipeline.metadata.read import read_batches
from pipeline.stage import Part, PartFolder
from schemas.duplicates import DUPLICATES

_GROUP_ROWS = 1 << 16
_LEVELS = (0.9, 0.95, 0.99)  # cosines at which duplicates are counted


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One way to be a copy: its name, its columns (uid of the earlier row, how near or ""), what was found; the column of hashes
    that told it, and which rows have one: (n,) bool by rank.
    """

    name: str
    dup_of: str
    near: str
    found: Found
    hashes: str = ""
    hashed: np.ndarray | None = None


class Uids:
    """The uids of the rows that others repeat; 40 bytes each, however many (a string array ends at 67 million of them)."""

    def __init__(self, pool: Pool, kinds: Sequence[Kind]) -> None:
        wanted = np.zeros(len(pool), bool)
        for kind in kinds:
            wanted[kind.found.index[kind.found.index >= 0]] = True
        uids, ranks = [pa.array([], pa.large_string())], [np.empty(0, np.int32)]
        for number, file in enumerate(pool.files):
            own, at = pool.ranks_of(number), 0
            ranks.append(own[wanted[own]])
            for batch in read_batches(file, ["uid"]) if len(ranks[-1]) else ():
                uids.append(batch["uid"].filter(pa.array(wanted[own[at : at + batch.num_rows]])).cast(pa.large_string()))
                at += batch.num_rows
        found = np.concatenate(ranks)
        self._order = np.argsort(found)
        self._ranks, self._uids = found[self._order], pa.concat_arrays(uids)

    def of(self, index: np.ndarray) -> pa.Array:
        """(n,) ranks, -1 for none → (n,) strings or null."""
        some = index >= 0
        places = np.zeros(len(index), np.int64)
        places[some] = self._order[np.searchsorted(self._ranks, index[some])]
        return self._uids.take(pa.array(places, mask=~some)).cast(pa.string())


@dataclass(frozen=True, kw_only=True)
class Columns:
    """All that was found in a pool. `heads`: per kind, (n,) bool by rank: rows that stand for a group."""

    pool: Pool
    kinds: tuple[Kind, ...]
    heads: tuple[np.ndarray, ...]
    uids: Uids
    semantic: Semantic | None

    @classmethod
    def of(cls, pool: Pool, kinds: Sequence[Kind], semantic: Semantic | None) -> "Columns":
        """What is needed to write any of the files."""
        heads = tuple(kind.found.heads() for kind in kinds)
        return cls(pool=pool, kinds=tuple(kinds), heads=heads, uids=Uids(pool, kinds), semantic=semantic)

    def write(self, number: int, part: Part, folder: PartFolder, floor: float) -> PartReport:
        """Write STEM.parquet of file `number`: uid and the columns of all kinds."""
        file, ranks = self.pool.files[number], self.pool.ranks_of(number)
        uids = (batch["uid"].cast(pa.string()) for batch in read_batches(file, ["uid"]))
        columns = {"uid": pa.concat_arrays([pa.array([], pa.string()), *uids])}
        counts = Counter(rows=len(ranks))
        for kind, heads in zip(self.kinds, self.heads, strict=True):
            columns |= self._columns_of(kind, ranks)
            counts.update(_counted(kind, ranks, heads, floor))
        if self.semantic is not None:
            homes, cosines = self.semantic.homes(number)
            nowhere = homes < 0
            columns |= {"cluster": pa.array(homes, mask=nowhere), "cluster_cos": pa.array(cosines, mask=nowhere)}
            counts["rows_without_embedding"] = int(nowhere.sum())
        schema = pa.schema([field for field in DUPLICATES if field.name in columns], metadata=DUPLICATES.metadata)
        table = pa.table([columns[name] for name in schema.names], schema=schema)
        with folder.open(f"{part.name}.parquet") as out:
            pq.write_table(table, out, compression="zstd", row_group_size=_GROUP_ROWS)
        return PartReport(
            name=part.name,
            counts=dict(counts),
            inputs=(InputReport(path=file.path, rows=len(ranks)),),
            peak_rss_bytes=peak_rss_bytes(),
        )

    def _columns_of(self, kind: Kind, ranks: np.ndarray) -> dict[str, pa.Array]:
        index = kind.found.index[ranks]
        columns = {kind.dup_of: self.uids.of(index)}
        if kind.found.value is not None:
            columns[kind.near] = pa.array(kind.found.value[ranks], mask=index < 0)
        return columns


def _counted(kind: Kind, ranks: np.ndarray, heads: np.ndarray, floor: float) -> dict[str, int]:
    duplicate = kind.found.index[ranks] >= 0
    counts = {f"{kind.name}_duplicates": int(duplicate.sum()), f"{kind.name}_groups": int(heads[ranks].sum())}
    if kind.name == "semantic" and kind.found.value is not None:
        cosines = kind.found.value[ranks][duplicate]
        counts |= {f"semantic_duplicates_{at:.2f}": int((cosines >= at).sum()) for at in _LEVELS if at >= floor}
    if kind.hashed is not None:
        counts[f"rows_without_{kind.hashes}"] = int(len(ranks) - kind.hashed[ranks].sum())
    return counts


__all__ = ["Columns", "Kind", "Uids"]

"""Shards, subsets and held-out pairs for the train benchmark, made once in bench/.cache.

In: a kind of picture and a number of pairs. Out: a folder of shards as the score benchmark has them, or of the shared data's real
pairs; subsets of it in filters' sizes; a retrieval set of other pictures.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.places import CACHE, digest_of, shared
from bench.score_shards import KINDS, encoded, shards, texts, write_shard
from schemas.subsets import uids_to_array

WEB, PAIRS = "256", "96"
SHARDS = 4
MEANING = {WEB: KINDS[WEB].meaning, PAIRS: "real pairs, longest side at most 96 px"}
# Shares of the pool that the compared filters keep: none, half, DataComp's 30 % thrice, 10 %.
SHARES = {"all": 1.0, "half": 0.5, "third_a": 0.3, "third_b": 0.3, "third_c": 0.3, "tenth": 0.1}
_HELD_OUT, _SEED = 300, 7


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A folder of shards with the subset of all its pairs."""

    kind: str
    folder: Path
    pairs: int

    @property
    def braces(self) -> str:
        """The shards as open_clip's trainer takes them."""
        numbers = sorted(path.stem for path in self.folder.glob("*.tar"))
        return f"{self.folder}/{{{numbers[0]}..{numbers[-1]}}}.tar"

    def subset(self, name: str) -> Path:
        """The subset of that name: a share of the pool, drawn by the name, sorted as `filter` writes them."""
        path = self.folder / "subsets" / f"{name}.npy"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            uids = [uid for tar in sorted(self.folder.glob("*.parquet")) for uid in pq.read_table(tar)["uid"].to_pylist()]
            draw = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
            chosen = draw.choice(len(uids), round(SHARES[name] * len(uids)), replace=False)
            np.save(path, np.sort(uids_to_array([uids[row] for row in chosen])))
        return path

    def eval_sets(self) -> Path:
        """A folder with one retrieval set, of pictures that the pool does not have."""
        folder = self.folder / "eval"
        if not (folder / "ret_held_out.parquet").is_file():
            folder.mkdir(exist_ok=True)
            captions = texts()[0]
            rows = [{"jpg": encoded("32", 10**6 + row), "text": captions[-1 - row]} for row in range(_HELD_OUT)]
            pq.write_table(pa.Table.from_pylist(rows), folder / "ret_held_out.parquet")
        return folder


def pool(kind: str, pairs: int) -> Pool:
    """The pool of a kind: made-up photographs with real alt texts, or the shared data's real pairs."""
    folder = shards(kind, pairs, SHARDS) if kind in KINDS else _real(pairs)
    return Pool(kind=kind, folder=folder, pairs=pairs)


def _real(pairs: int) -> Path:
    """Shards of the first real pairs, pictures as they are stored there. Raises SystemExit where the shared data is absent."""
    paths = sorted(shared("pairs", "train").glob("*.parquet"))
    folder = CACHE / f"train_pairs_{pairs}_{digest_of(paths[0])}"
    if folder.is_dir():
        return folder
    pictures = [body for path in paths for body in pq.read_table(path, columns=["jpg"])["jpg"].to_pylist()][:pairs]
    if len(pictures) < pairs:
        raise SystemExit(f"{paths[0].parent}: {len(pictures)} pairs; {pairs} were asked for")
    making = folder.with_name(f"{folder.name}.{os.getpid()}")
    making.mkdir(parents=True)
    for number, rows in enumerate(np.array_split(np.arange(pairs), SHARDS)):
        write_shard(making, number, rows.tolist(), pictures)
    return making.rename(folder)

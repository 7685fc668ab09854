"""The decoded pool: all shards as one memory-mapped array of images, one of tokens and one of uids, made once.

FOLDER/{H}px_{L}tok_{hash}/ holds images.npy (N, H, W, 3) uint8, tokens.npy (N, L) int32, uids.npy (N,) `u8,u8` and, written
last, complete.json. Runs that start together wait for one another; a killed one is taken up shard by shard.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.lib.format import open_memmap

from pipeline import io
from pipeline.manifest import InputReport, to_json
from pipeline.stage import Part, require_complete, run_stage
from pipeline.train.decode import DecodeConfig, decode_shard
from schemas.errors import UserError
from schemas.subsets import uid_rows

Tokenizer = Callable[[Sequence[str]], Any]
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, kw_only=True)
class DecodedPool:
    """N pairs in array order. `inputs` says what became of each shard, `counts` what was dropped and why."""

    images: np.ndarray  # (N, H, W, 3) uint8, memory-mapped
    tokens: np.ndarray  # (N, L) int32, memory-mapped
    uids: np.ndarray  # (N,) u8,u8
    counts: dict[str, int]
    inputs: tuple[InputReport, ...]


def decoded_pool(shards: str, root: str, *, image_size_px: int, tokenizer: Tokenizer, workers: int = 1) -> DecodedPool:
    """The decoded pool of a folder of shards, made under `root` where it does not stand there yet.

    Raises UserError where `root` is not local, or where the shards hold no pair that can be used.
    """
    if not io.is_local(root):
        raise UserError(f"{root}: the decoded pool is memory-mapped; give a local folder with --decoded")
    tars = io.list_files(shards, ".tar")
    if not tars:
        raise UserError(f"{shards}: no .tar files in it; give the folder that `download` wrote")
    length = int(tokenizer([""]).shape[1])
    name = f"{image_size_px}px_{length}tok_{_fingerprint(shards, tars, tokenizer)}"
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(Path(root) / f"_{name}.lock"):
        if not (folder / "complete.json").exists():
            _make(tars, folder, DecodeConfig(image_size_px=image_size_px, workers=workers), tokenizer)
    return _open(folder)


def _fingerprint(shards: str, tars: Sequence[str], tokenizer: Tokenizer) -> str:
    """16 hex digits that change when the shards or the tokenizer do."""
    fs = io.url_to_fs(shards)[0]
    files = [[path, fs.size(io.url_to_fs(path)[1]), str(fs.modified(io.url_to_fs(path)[1]))] for path in map(_absolute, tars)]
    words = tokenizer(["a photo of 12 small Dogs, 猫 & naïve Bäume"]).tolist()
    return hashlib.sha256(json.dumps([require_complete(shards), files, words]).encode()).hexdigest()[:16]


def _absolute(path: str) -> str:
    return os.path.abspath(path) if io.is_local(path) else path


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Hold the lock file; the kernel lets go of it when the process dies."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(tars: Sequence[str], folder: Path, config: DecodeConfig, tokenizer: Tokenizer) -> None:
    parts = [Part(name=io.stem(path), inputs=(path,)) for path in tars]
    manifest = run_stage("decode", config, parts, decode_shard, out=str(folder / "parts"))
    tables = [pq.read_table(folder / "parts" / f"{name}.rows").to_pydict() for name in manifest.parts]
    sizes = [len(table["uid"]) for table in tables]
    if not sum(sizes):
        first = next((report.error for report in manifest.failed_inputs), "no sample has an image, a caption and a uid")
        raise UserError(f"{os.path.dirname(tars[0])}: no pair to train on in {len(tars)} shards ({first})")
    _join_images(folder, list(zip(manifest.parts, sizes, strict=True)), config.image_size_px)
    _write_tokens(folder, [text for table in tables for text in table["text"]], tokenizer)
    with io.atomic_write(str(folder / "uids.npy")) as file:
        np.save(file, np.concatenate([uid_rows(table["uid"]) for table in tables]))
    with io.atomic_write(str(folder / "complete.json")) as file:
        file.write(to_json({"counts": manifest.counts, "inputs": [vars(report) for report in manifest.inputs]}))
    shutil.rmtree(folder / "parts")


def _join_images(folder: Path, parts: Sequence[tuple[str, int]], side_px: int) -> None:
    temporary = folder / "_images.npy"
    shape = (sum(rows for _, rows in parts), side_px, side_px, 3)
    joined = open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
    start = 0
    for name, rows in parts:
        if rows:
            joined[start : start + rows] = np.memmap(folder / "parts" / f"{name}.u8", np.uint8, "r", shape=(rows, *shape[1:]))
        start += rows
    joined.flush()
    os.replace(temporary, folder / "images.npy")


def _write_tokens(folder: Path, texts: Sequence[str], tokenizer: Tokenizer) -> None:
    tokens = np.empty((len(texts), tokenizer([""]).shape[1]), np.int32)
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        tokens[start : start + _ROWS_AT_ONCE] = tokenizer(texts[start : start + _ROWS_AT_ONCE]).numpy()
    with io.atomic_write(str(folder / "tokens.npy")) as file:
        np.save(file, tokens)


def _open(folder: Path) -> DecodedPool:
    told = json.loads((folder / "complete.json").read_bytes())
    return DecodedPool(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        tokens=np.load(folder / "tokens.npy", mmap_mode="r"),
        uids=np.load(folder / "uids.npy"),
        counts=told["counts"],
        inputs=tuple(InputReport(**report) for report in told["inputs"]),
    )

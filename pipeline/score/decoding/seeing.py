"""What a decoding process does to samples: bytes → rows, tokens, and pixels in the slab. It has no model and no device."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from pipeline.manifest import peak_rss_bytes
from pipeline.samples import Dropped, Located, Pair, Sample, pair_of
from pipeline.score.decoding.image import BrokenImageError
from pipeline.score.decoding.phash import phash
from pipeline.score.decoding.pixels import Recipe, picture_of
from pipeline.score.decoding.slab import Slab
from pipeline.score.decoding.tokens import Tokenizer, tokens_of
from pipeline.score.rows import SEEN, told_columns


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What all samples are seen with: where pixels go (a shape per recipe), and the tokenizers of the models."""

    slab: Slab
    recipes: tuple[Recipe, ...]
    tokenizers: tuple[Tokenizer, ...]
    nice: int = 0  # added to the process's niceness: the model, where it shares the cores, goes before


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Consecutive samples of a tar with their rows of the sidecar, and the slots of a buffer that are theirs, from `slot` on.

    `path` is that of the tar on this machine where samples are only located.
    """

    path: str | None
    samples: Sequence[Sample | Located]
    told: Sequence[dict[str, Any]]
    buffer: int
    slot: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What came of a chunk: the n samples that can be scored, and the others."""

    rows: pa.RecordBatch  # (n,), columns of SEEN
    slots: np.ndarray  # (n,) int64: where in the buffer the pixels of row i are
    tokens: tuple[np.ndarray, ...]  # (n, L) int32 for each tokenizer
    dropped: tuple[Dropped, ...]
    peak_rss_bytes: int = 0  # of the process, so far


_sight: list[Sight] = []  # one, in a process that was set up


def set_up(sight: Sight) -> None:
    """Make this process one that sees."""
    torch.set_num_threads(1)
    os.nice(sight.nice)
    _sight[:] = [sight]


def see(chunk: Chunk) -> Seen:
    """Read, decode and resize the samples of a chunk, and tokenize their captions, in a process that was set up."""
    (sight,) = _sight
    rows, told_of, slots, dropped = [], [], [], []
    for slot, pair in enumerate(_pairs(chunk), start=chunk.slot):
        if isinstance(pair, Dropped):
            dropped.append(pair)
        elif isinstance(row := _see(pair, sight, chunk.buffer, slot), Dropped):
            dropped.append(row)
        else:
            rows.append(row)
            told_of.append(pair.told)
            slots.append(slot)
    columns = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    told = told_columns(told_of)
    arrays = [told[field.name] if field.name in told else pa.array(columns.get(field.name, []), field.type) for field in SEEN]
    return Seen(
        rows=pa.RecordBatch.from_arrays(arrays, schema=SEEN),
        slots=np.array(slots, np.int64),
        tokens=tuple(tokens_of(tokenizer, columns.get("text", [])) for tokenizer in sight.tokenizers),
        dropped=tuple(dropped),
        peak_rss_bytes=peak_rss_bytes(),
    )


def _pairs(chunk: Chunk) -> Iterator[Pair | Dropped]:
    with _opened(chunk.path) as descriptor:
        for sample, beside in zip(chunk.samples, chunk.told, strict=True):
            yield pair_of(sample.read(descriptor) if isinstance(sample, Located) else sample, beside)


@contextmanager
def _opened(path: str | None) -> Iterator[int]:
    if path is None:
        yield -1
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _see(pair: Pair, sight: Sight, buffer: int, slot: int) -> dict[str, Any] | Dropped:
    try:
        picture = picture_of(pair.image, sight.recipes)
    except (BrokenImageError, MemoryError):
        return Dropped(pair.key, "broken_image")
    for number, view in enumerate(picture.seen):
        sight.slab.pixels(buffer, number)[slot] = view
    height, width = picture.rgb.shape[:2]
    known = {"uid": pair.uid, "text": pair.caption, "key": pair.key, "width": width, "height": height}
    return {**known, "phash": phash(picture.rgb), "stored_sha256": hashlib.sha256(pair.image).hexdigest()}

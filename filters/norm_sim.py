"""norm_sim: how much an image resembles the images of a target set, such as those of the tasks that a model shall be good at."""

import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Measure, Selector
from filters.embeddings import embedding, unit
from filters.measured import cut
from filters.needed import embedding_column
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError, UserError

_NAME = "norm_sim"
_BLOCK = 4096  # rows at once
_ZIP = b"PK"  # begins an .npz
_MOST_ZIPPED_BYTES = 4 << 30  # ImageNet-1k's training images take 2 GB at L/14; few bytes of a zip may say that they are many


@dataclass(frozen=True)
class NormSim2:
    """sqrt(Σ over the target's m images g of cos(f, g)²), NaN where a row f has no embedding; from 0 to sqrt(m).

    Wang et al. 2024, "CLIPLoss and norm-based data selection methods for multimodal contrastive learning" (NeurIPS), NormSim with
    p = 2, for which the target's second moments are enough: 2 · d² floating-point operations per row, whatever m is.
    """

    column: str
    target_rows: int
    moments: np.ndarray = field(repr=False, compare=False)  # (d, d) float32: GᵀG of the target's unit rows G
    name: ClassVar[str] = _NAME

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) float32."""
        rows = _rows(batch, self.column, len(self.moments))
        with np.errstate(invalid="ignore"):
            squares: np.ndarray = np.einsum("nd,nd->n", rows @ self.moments, rows)
            return np.asarray(np.sqrt(np.maximum(squares, 0)))


@dataclass(frozen=True)
class NormSimInf:
    """The greatest |cos(f, g)| over the target's m images g, NaN where a row f has no embedding; from 0 to 1.

    Wang et al. 2024, as NormSim2, with p infinite: 2 · m · d operations per row. The target is read from its file, where that is
    a .npy, as it is needed.
    """

    column: str
    target_rows: int
    target: np.ndarray = field(repr=False, compare=False)  # (m, d) floats as they stand
    name: ClassVar[str] = _NAME

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) float32."""
        rows = _rows(batch, self.column, self.target.shape[1])
        found = np.zeros(len(rows), np.float32)
        with np.errstate(invalid="ignore"):
            for targets in _unit_blocks(self.target):
                for start in range(0, len(rows), _BLOCK):
                    part = slice(start, start + _BLOCK)
                    cosines = rows[part] @ targets.T
                    np.maximum(found[part], np.abs(cosines, out=cosines).max(axis=1), out=found[part])
        return found


def read_target(path: str, key: str | None) -> np.ndarray:
    """The (m, d) floats in a .npy, mapped, or in an .npz under `key`. Raises UserError for a file that cannot be used."""
    try:
        with open(path, "rb") as file:  # np.load leaves a damaged .npz open
            zipped = file.read(len(_ZIP)) == _ZIP
            file.seek(0)
            array = _member(path, np.load(file, allow_pickle=False), key) if zipped else np.load(path, "r", allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"target {path}: not a .npy or .npz of embeddings ({error})") from error
    if array.ndim != 2 or not array.size or array.dtype.kind != "f":
        raise UserError(f"target {path}: an array of shape {array.shape} and dtype {array.dtype}; embeddings are (m, d) floats")
    without = sum(int((~np.isfinite(block).all(axis=1)).sum()) for block in _unit_blocks(array))
    if without:
        raise UserError(f"target {path}: {without} of {len(array)} rows are zero or not finite; leave them out")
    return array


def moments_of(target: np.ndarray) -> np.ndarray:
    """(d, d) float32: GᵀG of the (m, d) rows, each made of length 1."""
    total = np.zeros((target.shape[1], target.shape[1]))
    for block in _unit_blocks(target):
        total += block.T @ block
    return total.astype(np.float32)


def _member(path: str, archive: np.lib.npyio.NpzFile, key: str | None) -> np.ndarray:
    with archive:
        chosen = archive.files[0] if key is None and len(archive.files) == 1 else key
        if chosen not in archive.files:
            raise UserError(
                f"target {path}: give key, the name of one of its arrays: {', '.join(archive.files) or 'it has none'}"
            )
        sizes = {one.filename: one.file_size for one in archive.zip.infolist()} if archive.zip is not None else {}
        size = sizes.get(f"{chosen}.npy", 0)
        if size > _MOST_ZIPPED_BYTES:
            raise UserError(
                f"target {path}: {chosen} takes {size} bytes of memory; save it as a .npy, which is read as it is needed"
            )
        array: np.ndarray = archive[chosen]
        return array


def _unit_blocks(target: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(target), _BLOCK):
        yield unit(np.asarray(target[start : start + _BLOCK]))


def _rows(batch: pa.RecordBatch, column: str, dimensions: int) -> np.ndarray:
    rows = unit(embedding(batch, column))
    if rows.shape[1] != dimensions:
        raise UserError(f"{column} has {rows.shape[1]} dimensions, the target {dimensions}: they are not of one model")
    return rows


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What norm_sim is told."""

    arch: str = parameter("the model whose image embeddings are compared: b32, l14 or another NAME with NAME_img")
    target: str = parameter("the target's image embeddings by the same model, (m, d): a .npy or .npz", file=True)
    key: str | None = parameter("which array of an .npz", None)
    p: object = parameter("the norm over the target: 2, or inf for the nearest image alone", math.inf)
    threshold: float | None = parameter("the least similarity that is kept: a norm, so at p = 2 it grows with the target", None)
    fraction: float | None = parameter("instead: the share of the pool that is kept, 0 to 1", None)


def _measure(asked: Parameters, context: Context) -> Measure:
    if asked.p not in (2, "2", math.inf, "inf"):
        raise UsageError(f"{_NAME}: p = {asked.p!r} must be 2 or inf")
    column = embedding_column(_NAME, asked.arch, "img", context)
    target = read_target(asked.target, asked.key)
    if asked.p in (2, "2"):
        return NormSim2(column, len(target), moments_of(target))
    return NormSimInf(column, len(target), target)


def _build(asked: Parameters, context: Context) -> Filter | Selector:
    return cut(_measure(asked, context), asked.threshold, asked.fraction)


ENTRY = Entry(
    name=_NAME,
    summary="pairs whose image resembles those of a target set",
    source="Wang et al. 2024, CLIPLoss and norm-based data selection methods for multimodal contrastive learning (NormSim)",
    parameters=Parameters,
    build=_build,
    measure=_measure,
)

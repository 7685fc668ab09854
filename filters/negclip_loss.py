"""negclip_loss: a pair's cosine less what it has with the other pairs of a batch: generic captions and images lose by it."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Measure, Pool, PoolMeasure, Selector
from filters.embeddings import embedding, unit
from filters.measured import cut
from filters.needed import embedding_column
from filters.registry import Context, Entry, parameter
from filters.uids.uid_hash import uid_hashes
from schemas.errors import UsageError, UserError

_NAME = "negclip_loss"
_BLOCK = 4096  # rows, and pairs of the sample, at once: their logits are 64 MiB of float32
_LAST_HASH = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class NegClipLoss:
    """CLIP's loss of the pair (image i, text i) in a batch of `batch_rows` pairs of the pool, as a score: times -T.

        cos(i, i) - T/2 · (log Σ_j exp(cos(image i, text j) / T) + log Σ_j exp(cos(image j, text i) / T))

    Wang et al. 2024, "CLIPLoss and norm-based data selection methods for multimodal contrastive learning" (NeurIPS), with
    T = `temperature`, averaged over `batches` batches. There every row is measured in the random batches that it falls into
    (32,768 pairs, 10 batches, T = 0.01; 5 batches are said to suffice); here all rows are measured against the same batches, so
    that a row's number does not depend on the order of the files.

    Batch k is the `batch_rows` pairs with the smallest hashes of (seed, k, uid) of those in the pool that have both embeddings.
    In a smaller pool it is all of them, and the number is exactly that of the loss over the pool. A row of the batch is measured
    in its own place. Any other row takes the place of the batch's last pair: both sums are over exactly `batch_rows` pairs, the
    measured one included, and have no other normaliser. The last bits of a number depend on how many rows are computed at once.

    Cost: 4 · batch_rows · d floating-point operations per row and batch: at L/14 0.1 G, or 2 ms of a core at 48 GFLOP/s. Memory:
    a batch of float16 embeddings takes 4 · batch_rows · d bytes (100 MB), three times that while it is drawn.
    """

    image: str  # columns of embeddings
    text: str
    temperature: float
    batch_rows: int
    batches: int
    seed: int
    name: ClassVar[str] = _NAME

    @property
    def reads(self) -> tuple[str, ...]:
        return ("uid", self.image, self.text)

    def prepare(self, pool: Pool) -> Measure:
        """The batches, drawn in one pass. Raises UserError for embeddings of different lengths."""
        draws = [_Draw(self.batch_rows) for _ in range(self.batches)]
        for part in pool(self.reads):
            images, texts = _pair(part, self.image, self.text)
            for k, draw in enumerate(draws):
                draw.add(uid_hashes(part, self.seed, k), images, texts)
        return AgainstBatches(self.image, self.text, self.temperature, self.seed, tuple(draw.drawn() for draw in draws))


@dataclass(frozen=True)
class Batch:
    """Pairs that others are measured against: (B,) uint64 hashes, ascending, (B, d) images and texts as they stand."""

    hashes: np.ndarray
    images: np.ndarray
    texts: np.ndarray


@dataclass(frozen=True)
class AgainstBatches:
    """The measure that NegClipLoss comes to: NaN where a row lacks an embedding."""

    image: str
    text: str
    temperature: float
    seed: int
    batches: tuple[Batch, ...] = field(repr=False, compare=False)
    name: ClassVar[str] = _NAME

    @property
    def reads(self) -> tuple[str, ...]:
        return ("uid", self.image, self.text)

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) float32, at most 0: near 0 are pairs whose image and text resemble no other pair's text and image as much."""
        images, texts = map(unit, _pair(batch, self.image, self.text))
        with np.errstate(invalid="ignore"):
            own: np.ndarray = np.einsum("nd,nd->n", images, texts)
            lost = np.zeros(len(own), np.float32)
            for k, other in enumerate(self.batches):
                places = _places(uid_hashes(batch, self.seed, k), other.hashes)
                lost += self._losses(images, own, other.texts, places) + self._losses(texts, own, other.images, places)
            return np.asarray(np.float32(-self.temperature / 2 / len(self.batches)) * lost)

    def _losses(self, rows: np.ndarray, own: np.ndarray, others: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(n,) losses of (n, d) unit rows against (B, d) others, of which the one at `places` gives way to the row's own."""
        found = np.full(len(rows), np.nan, np.float32)
        if len(others):
            for start in range(0, len(rows), _BLOCK):
                part = slice(start, start + _BLOCK)
                found[part] = _loss(rows[part], own[part], others, places[part], np.float32(self.temperature))
        return found


def _loss(rows: np.ndarray, own: np.ndarray, others: np.ndarray, places: np.ndarray, temperature: np.float32) -> np.ndarray:
    """One block of rows: (n,) float32 log(1 + Σ_j exp((cos_j - own) / T)), which keeps its digits where it is nearly 0.

    Summed over blocks of others, with the greatest exponent so far, or 0, taken out.
    """
    greatest, total = np.zeros(len(rows), np.float32), np.zeros(len(rows), np.float32)
    for start in range(0, len(others), _BLOCK):
        block = others[start : start + _BLOCK]
        exponents = rows @ unit(block).T
        exponents -= own[:, None]
        exponents /= temperature
        inside = np.flatnonzero((places >= start) & (places < start + len(block)))
        exponents[inside, places[inside] - start] = -np.inf
        before, greatest = greatest, np.maximum(greatest, exponents.max(axis=1))
        exponents -= greatest[:, None]
        total = total * np.exp(before - greatest) + np.exp(exponents, out=exponents).sum(axis=1)
    return np.asarray(greatest + np.log1p(total + np.expm1(-greatest)))


def _places(hashes: np.ndarray, batch: np.ndarray) -> np.ndarray:
    """(n,) int64: the place in the batch that each row takes: its own, or the last."""
    places = np.minimum(np.searchsorted(batch, hashes), len(batch) - 1)
    return np.where(batch[places] == hashes, places, len(batch) - 1) if len(batch) else places


class _Draw:
    """The pairs of the smallest hashes seen so far, one per hash; those that came last are merged when they are as many."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._parts: list[Batch] = []
        self._waiting = 0
        self._limit = _LAST_HASH

    def add(self, hashes: np.ndarray, images: np.ndarray, texts: np.ndarray) -> None:
        chosen = np.flatnonzero(hashes <= self._limit)
        chosen = chosen[_is_direction(images[chosen]) & _is_direction(texts[chosen])]
        if self._parts and self._parts[0].images.shape[1] != images.shape[1]:
            raise UserError(f"embeddings of {self._parts[0].images.shape[1]} and of {images.shape[1]} dimensions in one pool")
        self._parts.append(Batch(hashes[chosen], images[chosen], texts[chosen]))
        self._waiting += len(chosen)
        if self._waiting >= self._rows:
            self._merge()

    def drawn(self) -> Batch:
        """All of them."""
        self._merge()
        return self._parts[0]

    def _merge(self) -> None:
        parts = self._parts or [Batch(np.empty(0, np.uint64), np.empty((0, 1), np.float16), np.empty((0, 1), np.float16))]
        hashes, first = np.unique(np.concatenate([part.hashes for part in parts]), return_index=True)
        hashes, first = hashes[: self._rows], first[: self._rows]
        images = np.concatenate([part.images for part in parts])[first]
        texts = np.concatenate([part.texts for part in parts])[first]
        self._parts, self._waiting = [Batch(hashes, images, texts)], 0
        if len(hashes) == self._rows:
            self._limit = hashes[-1]


def _is_direction(rows: np.ndarray) -> np.ndarray:
    directed: np.ndarray = np.isfinite(unit(rows)).all(axis=1)
    return directed


def _pair(batch: pa.RecordBatch, image: str, text: str) -> tuple[np.ndarray, np.ndarray]:
    images, texts = embedding(batch, image), embedding(batch, text)
    if images.shape[1] != texts.shape[1]:
        raise UserError(f"{image} has {images.shape[1]} dimensions, {text} {texts.shape[1]}: they are not of one model")
    return images, texts


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What negclip_loss is told."""

    arch: str = parameter("the model whose embeddings are compared: b32, l14 or another NAME with NAME_img and NAME_txt")
    threshold: float | None = parameter("the least score that is kept; scores are at most 0", None)
    fraction: float | None = parameter("instead: the share of the pool that is kept, 0 to 1", None)
    temperature: float = parameter("that of the loss: what the model was trained to; OpenAI's CLIP has 0.01", 0.01)
    batch_rows: int = parameter("pairs in a batch", 32_768)
    batches: int = parameter("batches to average over, 1 to 10; the paper has 10, and cost grows with them", 1)
    seed: int = parameter("another seed, other batches", 0)


def _measure(asked: Parameters, context: Context) -> PoolMeasure:
    if not asked.temperature > 0:
        raise UsageError(f"{_NAME}: temperature {asked.temperature}: must be more than 0")
    if asked.batch_rows < 1 or not 1 <= asked.batches <= 10:
        raise UsageError(f"{_NAME}: batch_rows {asked.batch_rows}, batches {asked.batches}: at least 1 row, and 1 to 10 batches")
    image, text = (embedding_column(_NAME, asked.arch, part, context) for part in ("img", "txt"))
    return NegClipLoss(image, text, asked.temperature, asked.batch_rows, asked.batches, asked.seed)


def _build(asked: Parameters, context: Context) -> Filter | Selector:
    return cut(_measure(asked, context), asked.threshold, asked.fraction)


ENTRY = Entry(
    name=_NAME,
    summary="pairs whose image and text resemble each other more than they resemble those of other pairs",
    source="Wang et al. 2024, CLIPLoss and norm-based data selection methods for multimodal contrastive learning (negCLIPLoss)",
    parameters=Parameters,
    build=_build,
    measure=_measure,
)

"""The images of evaluation sets as they are looked for: a perceptual hash and perhaps an embedding of each view of each."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.metadata.hashes import hash_words
from schemas.errors import UserError

# The hash sets a bit where a frequency is above the median: about half of 64. Far fewer say that the picture is blank, and
# any two blank pictures are alike.
_LEAST_BITS_SET = 16
_MOST_PRODUCTS = 1 << 26  # cosines held at once


@dataclass(frozen=True, kw_only=True)
class Index:
    """m views of the images of k sets: `set_of` (m,) int32, `item_of` (m,) int64, `hashes` (m,) uint64, `embeddings` (m, d)."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]  # images of each set
    set_of: np.ndarray
    item_of: np.ndarray  # the image's place in its set
    hashes: np.ndarray
    embeddings: np.ndarray | None  # float16, unit rows; None: hashes alone decide
    made_by: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str) -> None:
        """As an .npz."""
        arrays = {"names": np.array(self.names), "sizes": np.array(self.sizes), "set_of": self.set_of, "item_of": self.item_of}
        arrays |= {"hashes": self.hashes} | ({} if self.embeddings is None else {"embeddings": self.embeddings})
        np.savez(path, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str) -> "Index":
        """What `save` put there."""
        with np.load(path, allow_pickle=False) as file:
            return cls(
                names=tuple(map(str, file["names"])),
                sizes=tuple(map(int, file["sizes"])),
                set_of=file["set_of"],
                item_of=file["item_of"],
                hashes=file["hashes"],
                embeddings=file["embeddings"] if "embeddings" in file.files else None,
            )

    def nearest_by_hash(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nearest view of n hashes, (n,) uint64: its number (n,) int64, and how many bits differ (n,) int32."""
        rows = self._with_structure
        if not len(rows) or not len(hashes):
            return np.zeros(len(hashes), np.int64), np.full(len(hashes), 65, np.int32)
        bits, found = self._hash_index.search(hashes.view(np.uint8).reshape(-1, 8), 1)
        return rows[found[:, 0]], bits[:, 0].astype(np.int32)

    def nearest_by_embedding(self, vectors: np.ndarray, device: str) -> tuple[np.ndarray, np.ndarray]:
        """The nearest view of n unit vectors, (n, d) float32: its number (n,) int64, and the cosine (n,) float32, NaN for NaN."""
        import torch

        assert self.embeddings is not None  # noqa: S101 - asked for only where there are any
        if vectors.shape[1] != self.embeddings.shape[1]:
            raise UserError(
                f"embeddings of {vectors.shape[1]} dimensions, evaluation images have {self.embeddings.shape[1]}: "
                "give the --model that made --embeddings"
            )
        views = torch.from_numpy(self.embeddings).to(device).float().T
        step = max(1, _MOST_PRODUCTS // max(1, views.shape[1]))
        numbers, cosines = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
        for at in range(0, len(vectors), step):
            best = (torch.from_numpy(vectors[at : at + step]).to(device) @ views).max(dim=1)
            numbers[at : at + step], cosines[at : at + step] = best.indices.cpu().numpy(), best.values.cpu().numpy()
        return numbers, cosines

    @cached_property
    def _with_structure(self) -> np.ndarray:
        return np.flatnonzero(np.bitwise_count(self.hashes) >= _LEAST_BITS_SET)

    @cached_property
    def _hash_index(self) -> Any:
        try:
            import faiss
        except ImportError as error:
            raise UserError("faiss: not installed; pip install 'webpairs[cpu]' or, with a GPU, 'webpairs[gpu]'") from error
        index = faiss.IndexBinaryFlat(64)
        index.add(self.hashes[self._with_structure].view(np.uint8).reshape(-1, 8))
        return index


def hashes_of(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(n,) uint64 of hashes written as 16 hex digits, 0 for what is none; and (n,) bool, which are some."""
    known, words = hash_words(column, 16)
    values = np.zeros(len(known), np.uint64)
    values[known] = words[:, 0]
    return values, known

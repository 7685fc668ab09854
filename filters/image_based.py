"""image_based: DataComp's image-based filtering: images that lie near those of ImageNet-1k; and its meet with a CLIP score.

Near: of the centroids of the pool's clusters, the one nearest to the image is also the nearest of some ImageNet training image.
"""

import atexit
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from filters import clip_score
from filters.compose import All
from filters.contract import Filter, Pool, Rule, Sampler
from filters.embeddings import embedding
from filters.files.assets import IMAGENET_PARTS, find
from filters.files.torch_arrays import read_rows
from filters.language import language
from filters.nearest import Nearest
from filters.registry import Context, Entry, parameter
from filters.text import MinCharacters
from filters.texts.tokens import MinTokens
from schemas.errors import UsageError, UserError

_COLUMN = "l14_img"
_KEY = "image_features"  # under which DataComp's files of ImageNet have their embeddings


@dataclass(frozen=True)
class NearTargets:
    """Keeps images whose nearest centroid is the nearest of some target image: in DataComp, of ImageNet-1k's training set.

    `centroids`: a file of (k, d) floats; `targets`: files of (n, d) floats each, the embeddings of the target images; both of the
    model of `column`, as filters.files.torch_arrays reads them.
    """

    centroids: str
    targets: tuple[str, ...]
    column: str = _COLUMN
    name: ClassVar[str] = "near_targets"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def resolve(self, _: Pool) -> Filter:
        """The centroids that count, found once; the pool is not read. Raises UserError naming a file that cannot be used."""
        mapped = _mapped(self.centroids)
        return NearestAmong(self.centroids, _among(self.centroids, mapped, self.targets), mapped, self.column)


@dataclass(frozen=True, eq=False)
class NearestAmong:
    """Keeps images whose nearest centroid, by the dot product in float32, is one of those that count, (k,) bool.

    `mapped`: a .npy of the centroids, which all worker processes map into memory, where it stands once.
    """

    centroids: str
    among: np.ndarray
    mapped: str = field(repr=False)
    column: str = _COLUMN
    name: ClassVar[str] = "near_targets"
    costly: ClassVar[int] = 2

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the image's centroid counts. Raises UserError for embeddings of another model."""
        rows, nearest = embedding(batch, self.column), _nearest(self.mapped)
        if rows.shape[1] != nearest.dimensions:
            raise UserError(f"{self.centroids}: has {nearest.dimensions} dimensions, column {self.column} {rows.shape[1]}")
        return pa.array(self.among[nearest.of(rows)])


@functools.lru_cache(maxsize=1)
def _mapped(centroids: str) -> str:
    """A .npy of the centroids in float32, which goes when this process ends: torch's files cannot be mapped as they are."""
    folder = tempfile.mkdtemp(prefix="webpairs-centroids-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = os.path.join(folder, "centroids.npy")
    np.save(path, read_rows(centroids).astype(np.float32, copy=False))
    return path


@functools.lru_cache(maxsize=1)
def _nearest(mapped: str) -> Nearest:
    return Nearest(np.load(mapped, mmap_mode="r"))


@functools.lru_cache(maxsize=1)
def _among(centroids: str, mapped: str, targets: tuple[str, ...]) -> np.ndarray:
    """(k,) bool: which centroids are the nearest of some target. One file of targets is in memory at a time."""
    nearest = _nearest(mapped)
    among = np.zeros(nearest.count, bool)
    for path in targets:
        rows = read_rows(path, _KEY)
        if rows.shape[1] != nearest.dimensions:
            raise UserError(f"{path}: has {rows.shape[1]} dimensions, the centroids in {centroids} {nearest.dimensions}")
        among[nearest.of(rows)] = True
    return among


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What image_based is told."""

    image_based_scale: Literal["small", "medium", "large", "xlarge"] | None = parameter(
        "whose centroids: a pool of DataComp", None
    )
    centroids: str | None = parameter("instead: a file of (k, 768) floats, of torch.save or .npy", None, file=True)
    features: tuple[str, ...] | None = parameter(
        "L/14 embeddings of the target images, files like the centroids'", None, file=True
    )
    embeddings: str = parameter("the pool's embeddings, of the same model as centroids and features", _COLUMN)
    lid_model: str | None = parameter("fastText's lid.176.bin; without it the stored column `lang` decides", None, file=True)
    assets: str | None = parameter("folder with these files under DataComp's names", None)


@dataclass(frozen=True, kw_only=True)
class IntersectParameters(Parameters):
    """What image_based_intersect_clip_score is told."""

    arch: str | None = parameter("b32, l14 or another NAME with a column clip_NAME_similarity_score", None)
    threshold: float | None = parameter("the least similarity that is kept", None)
    fraction: float | None = parameter("instead: the share of the whole pool that is kept, 0 to 1", None)


def _build(asked: Parameters, context: Context) -> All:
    return All(_rules(asked, context, "image_based"))


def _build_intersect(asked: IntersectParameters, context: Context) -> All:
    scored = clip_score.Parameters(arch=asked.arch, threshold=asked.threshold, fraction=asked.fraction)
    rule = clip_score.ENTRY.build(scored, context)
    assert not isinstance(rule, Sampler)  # noqa: S101 - for mypy
    return All((rule, *_rules(asked, context, "image_based_intersect_clip_score")))


def _rules(asked: Parameters, context: Context, asker: str) -> tuple[Rule, ...]:
    if asked.image_based_scale is None and asked.centroids is None:
        raise UsageError(f"{asker}: give --image_based_scale small, medium, large or xlarge, or --param centroids=FILE")
    if asked.embeddings not in context.columns:
        raise UserError(
            f"{asker}: no embeddings {asked.embeddings} in the .npz beside the metadata; DataComp's metadata has them"
        )
    english = language("en", asked.lid_model, context, asker, asked.assets)
    centroids = find(f"{asked.image_based_scale or 'small'}_centroids", asked.centroids, asked.assets, asker)
    parts: tuple[str | None, ...] = asked.features or (None,) * IMAGENET_PARTS
    targets = tuple(find(f"in1k_clip_vit_l14_{i % IMAGENET_PARTS}", path, asked.assets, asker) for i, path in enumerate(parts))
    return MinTokens(2), MinCharacters(6), english, NearTargets(centroids, targets, asked.embeddings)


_SOURCE = "Gadre et al. 2023, DataComp"
ENTRIES = (
    Entry(
        name="image_based",
        summary="English, and an image whose nearest cluster is that of some ImageNet-1k training image",
        source=_SOURCE,
        parameters=Parameters,
        build=_build,
    ),
    Entry(
        name="image_based_intersect_clip_score",
        summary="what image_based keeps of the pairs whose CLIP similarity reaches a threshold or is in the pool's top fraction",
        source=f"{_SOURCE} (of which DataComp-1B was made)",
        parameters=IntersectParameters,
        build=_build_intersect,
    ),
)

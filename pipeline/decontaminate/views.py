"""Evaluation images → views: the whole picture, and with `crops` its middle and corners; each hashed and perhaps embedded."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipeline.score.decoding.pixels import Recipe
    from pipeline.score.towers import Towers

_SHARES = (0.9, 0.8, 0.7)  # of each side, that a crop keeps
_LEAST_PX = 16


@dataclass(frozen=True, kw_only=True)
class Seen:
    """m views of some images: which image each is of, (m,) int64, hashes (m,) uint64, unit embeddings (m, d) float16 or None."""

    image_of: np.ndarray
    hashes: np.ndarray
    embeddings: np.ndarray | None
    undecodable: int


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """How views are made."""

    crops: bool
    recipe: "Recipe | None"
    towers: "Towers | None"

    def see(self, images: Sequence[bytes | None]) -> Seen:
        """The views of encoded images; one that cannot be decoded is counted and has none."""
        from pipeline.score.decoding.image import BrokenImageError, decode
        from pipeline.score.decoding.phash import phash
        from pipeline.score.decoding.pixels import prepare_fast

        image_of, hashes, pixels, undecodable = [], [], [], 0
        for number, encoded in enumerate(images):
            try:
                rgb = decode(encoded or b"")
            except BrokenImageError:
                undecodable += 1
                continue
            for view in views_of(rgb) if self.crops else (rgb,):
                image_of.append(number)
                hashes.append(int(phash(np.ascontiguousarray(view)), 16))
                if self.recipe is not None:
                    pixels.append(prepare_fast(np.ascontiguousarray(view), self.recipe))
        return Seen(
            image_of=np.array(image_of, np.int64),
            hashes=np.array(hashes, np.uint64),
            embeddings=self._embeddings(pixels),
            undecodable=undecodable,
        )

    def _embeddings(self, pixels: list[np.ndarray]) -> np.ndarray | None:
        if self.towers is None:
            return None
        if not pixels:
            return np.empty((0, self.towers.width), np.float16)
        found: np.ndarray = self.towers.images(np.stack(pixels)).cpu().numpy().astype(np.float16)
        return found


def views_of(rgb: np.ndarray) -> Iterator[np.ndarray]:
    """The picture, (H, W, 3), then of each crop's size its middle and its four corners."""
    yield rgb
    height, width = rgb.shape[:2]
    for share in _SHARES:
        high, wide = round(height * share), round(width * share)
        if min(high, wide) < _LEAST_PX:
            return
        down, across = height - high, width - wide
        for top, left in ((down // 2, across // 2), (0, 0), (0, across), (down, 0), (down, across)):
            yield rgb[top : top + high, left : left + wide]


@functools.cache
def viewer_of(model: str | None, pretrained: str | None, device: str, *, crops: bool) -> Viewer:
    """A viewer, its model loaded once. Raises UserError for a model, weights or a device that cannot be had."""
    if model is None:
        return Viewer(crops=crops, recipe=None, towers=None)
    from pipeline.clip import load_clip
    from pipeline.devices import device_here
    from pipeline.score.decoding.pixels import recipe_of
    from pipeline.score.towers import Towers

    clip: Any = load_clip(model, pretrained, device=device_here(device))
    return Viewer(crops=crops, recipe=recipe_of(clip.model.visual.preprocess_cfg, exact=False), towers=Towers(clip))

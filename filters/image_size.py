"""Filters on the size of the image as it was served."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.registry import Context, Entry, parameter

_READS = ("original_width", "original_height")


@dataclass(frozen=True)
class MinSide:
    """Keeps images whose shorter side is at least `px` pixels. Drops images of unknown size."""

    px: int
    name: ClassVar[str] = "min_side"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the shorter side is long enough."""
        return pa.array(np.minimum(*_sides(batch)) >= self.px)


@dataclass(frozen=True)
class MaxAspectRatio:
    """Keeps images whose longer side is at most `ratio` times the shorter. Drops images of unknown or no size."""

    ratio: float
    name: ClassVar[str] = "max_aspect_ratio"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the ratio is small enough."""
        width, height = _sides(batch)
        with np.errstate(divide="ignore", invalid="ignore"):
            return pa.array(np.maximum(width, height) / np.minimum(width, height) <= self.ratio)


def _sides(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """Width and height, (n,) float64 each, NaN where unknown: a comparison with NaN is False."""
    width, height = (batch[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in _READS)
    return width, height


@dataclass(frozen=True, kw_only=True)
class SideParameters:
    """What min_side is told."""

    px: int = parameter("the least length of the shorter side, in pixels", 200)


@dataclass(frozen=True, kw_only=True)
class RatioParameters:
    """What max_aspect_ratio is told."""

    ratio: float = parameter("the most that the longer side may be of the shorter", 3.0)


def _build_side(asked: SideParameters, _: Context) -> MinSide:
    return MinSide(asked.px)


def _build_ratio(asked: RatioParameters, _: Context) -> MaxAspectRatio:
    return MaxAspectRatio(asked.ratio)


ENTRIES = (
    Entry(
        name="min_side",
        summary="images whose shorter side, as served, is long enough",
        source="Gadre et al. 2023, DataComp (part of its basic filtering)",
        parameters=SideParameters,
        build=_build_side,
    ),
    Entry(
        name="max_aspect_ratio",
        summary="images that are not too long for their width, or too wide for their height",
        source="Gadre et al. 2023, DataComp (part of its basic filtering)",
        parameters=RatioParameters,
        build=_build_ratio,
    ),
)

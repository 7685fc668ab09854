"""Random resized crops of images that are on the device already, decided by seed and position alone.

open_clip trains so unless told otherwise, keeping 90 % of the area or more (`AugmentationCfg.scale`), and DataComp leaves it at
that; the crop itself is torchvision's `RandomResizedCrop` (Szegedy et al. 2015, section 6). There a worker process draws it,
here it hangs on the place in the run's order: any number of processes, and a run that is taken up, see the same crops.
"""

import math

import numpy as np
import torch

from pipeline.train.feeding.order import mixed

_RATIOS = (3 / 4, 4 / 3)  # of width to height
_TRIES = 10  # then the whole image
_DRAWS = 4  # per try: area, ratio, left, top
_AT_ONCE = 256  # images in float32 at a time, for memory
_SHARPNESS = -0.5  # Keys 1981, and Pillow's bicubic


def crop_boxes(seed: int, positions: np.ndarray, side_px: int, keep: float) -> np.ndarray:
    """(b, 4) int64, px: left, top, width and height of the crop of a square image at each position (b,) of the run's order.

    Each holds `keep` of the area or more, but for rounding to whole px.
    """
    draws = _uniforms(seed, positions, _TRIES * _DRAWS).reshape(len(positions), _TRIES, _DRAWS)
    area = side_px**2 * (keep + (1 - keep) * draws[..., 0])
    ratio = np.exp(math.log(_RATIOS[0]) + (math.log(_RATIOS[1]) - math.log(_RATIOS[0])) * draws[..., 1])
    width, height = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (width >= 1) & (width <= side_px) & (height >= 1) & (height <= side_px)
    left, top = (np.floor(draws[..., 2 + i] * (side_px - size + 1)) for i, size in enumerate((width, height)))
    boxes = np.stack([left, top, width, height], axis=-1)
    chosen = boxes[np.arange(len(positions)), np.argmax(fits, axis=1)]
    chosen[~fits.any(axis=1)] = (0, 0, side_px, side_px)
    whole: np.ndarray = chosen.astype(np.int64)
    return whole


def _uniforms(seed: int, positions: np.ndarray, count: int) -> np.ndarray:
    """(b, count) float64 in [0, 1), a function of seed and position."""
    keys = mixed(positions.astype(np.uint64) ^ mixed(np.array([seed], np.uint64)))
    counters = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    bits: np.ndarray = mixed(keys[:, None] + counters[None, :]) >> np.uint64(11)
    return bits * 2.0**-53


def cropped(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """(b, H, W, 3) uint8 → the same shape: each image's box, bicubic, as large as the image. boxes: (b, 4) on its device."""
    starts = range(0, len(images), _AT_ONCE)
    return torch.cat([_resized(images[at : at + _AT_ONCE], boxes[at : at + _AT_ONCE]) for at in starts])


def _resized(images: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """Across, then down, as Pillow does. Products and sums of single elements only: the same whatever the batch is cut into."""
    turned = _lines_resized(images.transpose(1, 2).float(), boxes[:, 0], boxes[:, 2])
    return _lines_resized(turned.transpose(1, 2).contiguous(), boxes[:, 1], boxes[:, 3]).to(torch.uint8)


def _lines_resized(images: torch.Tensor, first: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """(b, n, m, 3) float32 → the same shape, whole numbers: lines first … first + size (b,) of each image, as n lines."""
    places, weights = _taps(first, size, images.shape[1])
    each, total = torch.arange(len(images), device=images.device)[:, None], torch.zeros_like(images)
    for tap in range(4):
        total += images[each, places[..., tap]].mul_(weights[..., tap, None, None])
    return total.round_().clamp_(0, 255)  # Pillow, too, keeps bytes between its two passes


def _taps(first: torch.Tensor, size: torch.Tensor, made: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each of `made` px the four of the source that it is made of: (b, made, 4) int64 and their weights, float32.

    A crop is never larger than what is made of it, so that the filter needs no widening. What lies outside of it counts nothing.
    """
    steps = torch.arange(made, device=first.device, dtype=torch.float64) + 0.5
    centres = steps * (size / made)[:, None].double() + first[:, None] - 0.5
    places = centres.floor().long()[..., None] + torch.arange(-1, 3, device=first.device)
    inside = (places >= first[:, None, None]) & (places < (first + size)[:, None, None])
    weights = _cubic((places - centres[..., None]).abs()) * inside
    weights /= weights.sum(dim=-1, keepdim=True)
    return places.clamp(0, made - 1), weights.float()


def _cubic(distance: torch.Tensor) -> torch.Tensor:
    near = ((_SHARPNESS + 2) * distance - (_SHARPNESS + 3)) * distance**2 + 1
    far = _SHARPNESS * (((distance - 5) * distance + 8) * distance - 4)
    return torch.where(distance < 1, near, torch.where(distance < 2, far, 0.0))

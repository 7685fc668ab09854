"""The decoded pool and an order → batches as a model takes them: normalised images and tokens on its device, step after step."""

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import torch

from pipeline.clip import Clip
from pipeline.train.decoded.pool import DecodedPool
from pipeline.train.feeding.crops import crop_boxes, cropped
from pipeline.train.feeding.order import Order
from pipeline.train.feeding.sources import source_for


def batches(
    clip: Clip,
    pool: DecodedPool,
    order: Order,
    *,
    first_step: int,
    n_steps: int,
    batch_size: int,
    rank: int = 0,
    world: int = 1,
    crop_scale: float = 1.0,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images (b, 3, H, W) float32, normalised, and tokens (b, L) int64 on `clip.device`, for steps from `first_step` on.

    Step s is what stands at positions s · batch_size … (s + 1) · batch_size of the order, of which this is `rank`'s part out of
    `world`. With crop_scale < 1 every image is a random resized crop that keeps that share of the area or more, decided by the
    order's seed and the position alone. So a step is the same wherever one starts, and in as many processes as one likes.
    Raises UserError where the pool's files were changed meanwhile.
    """
    mean, std = (255 * torch.tensor(each, device=clip.device)[:, None, None] for each in (clip.mean, clip.std))
    first, last = rank * batch_size // world, (rank + 1) * batch_size // world
    starts = range(first_step * batch_size, (first_step + n_steps) * batch_size, batch_size)
    source = source_for(pool, order.index, clip.device)
    with closing(source.batches(order.batch(start, batch_size)[first:last] for start in starts)) as made:
        for start, (images, tokens) in zip(starts, made, strict=True):
            seen = _cropped(images, order.seed, np.arange(start + first, start + last), crop_scale)
            # Channel after channel, as open_clip has it: with 3 numbers a pixel side by side, a CPU takes several times as long.
            planes = seen.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
            yield planes.sub_(mean).div_(std), tokens


def _cropped(images: torch.Tensor, seed: int, positions: np.ndarray, keep: float) -> torch.Tensor:
    if keep >= 1:
        return images
    boxes = crop_boxes(seed, positions, images.shape[1], keep)
    return cropped(images, torch.from_numpy(boxes).to(images.device))

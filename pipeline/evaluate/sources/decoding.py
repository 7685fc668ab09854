"""A stream of items → batches of them with their pixels, decoded by threads a little ahead of whoever takes them."""

import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from pipeline.evaluate.sources.tasks import Item
from pipeline.score.decoding.image import BrokenImageError, decode
from pipeline.score.decoding.pixels import Recipe, prepare
from schemas.errors import UserError

_AHEAD = 2  # batches being decoded while one is computed with
_Waiting = tuple[list[Item], list["Future[np.ndarray]"]]


def decoded(
    items: Iterator[Item], recipe: Recipe, *, batch_size: int, threads: int, path: str
) -> Iterator[tuple[list[Item], np.ndarray]]:
    """Batches of items and (n, H, W, 3) uint8, in order: RGB, resized and cropped by open_clip's own evaluation transform.

    Raises UserError for an image that cannot be read: every model must be tested on the same items.
    """
    waiting: deque[_Waiting] = deque()
    # Pillow warns of oddities in images that it reads all the same; a filter of each thread's own would be the process's.
    with warnings.catch_warnings(), ThreadPoolExecutor(threads, "decode") as pool:
        warnings.simplefilter("ignore")
        try:
            while True:
                while len(waiting) <= _AHEAD and (batch := list(islice(items, batch_size))):
                    waiting.append((batch, [pool.submit(_pixels, item.image, recipe) for item in batch]))
                if not waiting:
                    return
                yield _finished(*waiting.popleft(), path)
        finally:
            for _, futures in waiting:
                for future in futures:
                    future.cancel()


def _pixels(image: bytes, recipe: Recipe) -> np.ndarray:
    return prepare(decode(image), recipe)


def _finished(batch: list[Item], futures: list["Future[np.ndarray]"], path: str) -> tuple[list[Item], np.ndarray]:
    pixels = []
    for item, future in zip(batch, futures, strict=True):
        try:
            pixels.append(future.result())
        except BrokenImageError as error:
            raise UserError(
                f"{path}: the image of {item.where} cannot be read ({error}); every model must be tested on the same items"
            ) from error
    return batch, np.stack(pixels)

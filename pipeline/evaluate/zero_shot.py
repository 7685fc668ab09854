"""A model and a task → the score of every item: unit embeddings, cosine similarity, metrics.py."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from pipeline.clip import Clip
from pipeline.evaluate.metrics import classification_items, retrieval_items
from pipeline.evaluate.tasks import Classification, Task
from pipeline.train.decode import decode_image
from schemas.errors import UserError


def decode_images(task: Task, side_px: int) -> np.ndarray:
    """The task's images as the model takes them, not yet normalised: (n, H, W, 3) uint8. Raises UserError for a broken one."""
    decoded = np.empty((len(task.images), side_px, side_px, 3), np.uint8)
    for row, content in enumerate(task.images):
        image = decode_image(content, side_px)
        if image is None:
            raise UserError(f"{task.name}: the image of row {row} cannot be read; every model must be tested on the same items")
        decoded[row] = image
    return decoded


@torch.inference_mode()
def score_items(clip: Clip, task: Task, pixels: np.ndarray, batch_size: int) -> dict[str, np.ndarray]:
    """Metric → (n,) float32 score of every item. pixels: (n, H, W, 3) uint8, the task's images in order."""
    images = embed_images(clip, pixels, batch_size)
    if isinstance(task, Classification):
        return classification_items(images @ class_embeddings(clip, task, batch_size).T, task.truth)
    return retrieval_items(images @ embed_texts(clip, task.texts, batch_size).T)


def class_embeddings(clip: Clip, task: Classification, batch_size: int) -> np.ndarray:
    """(m, d) float32, unit: the mean over the prompts' unit embeddings of each class, as in Radford et al. 2021."""
    prompts = [template.replace("{}", name) for name in task.classes for template in task.templates]
    embedded = embed_texts(clip, prompts, batch_size).reshape(len(task.classes), len(task.templates), -1)
    return _unit(embedded.mean(axis=1))


def embed_images(clip: Clip, pixels: np.ndarray, batch_size: int) -> np.ndarray:
    """(n, H, W, 3) uint8 → (n, d) float32, unit."""
    mean, std = (255 * torch.tensor(each, device=clip.device) for each in (clip.mean, clip.std))

    def encode(chunk: np.ndarray) -> Any:
        images = torch.from_numpy(chunk).to(clip.device).float()
        return clip.model.encode_image(((images - mean) / std).permute(0, 3, 1, 2).to(clip.dtype))  # type: ignore[operator]

    return _embedded(encode, pixels, batch_size)


def embed_texts(clip: Clip, texts: Sequence[str], batch_size: int) -> np.ndarray:
    """Texts, n of them → (n, d) float32, unit."""

    def encode(chunk: Sequence[str]) -> Any:
        return clip.model.encode_text(clip.tokenizer(list(chunk)).to(clip.device))  # type: ignore[operator]

    return _embedded(encode, texts, batch_size)


def _embedded(encode: Callable[[Any], torch.Tensor], items: Any, batch_size: int) -> np.ndarray:
    return _unit(np.concatenate([encode(chunk).float().cpu().numpy() for chunk in _chunks(items, batch_size)]))


def _chunks(items: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit

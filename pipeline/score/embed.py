"""Images and texts → unit embeddings, by a model that is loaded once per process."""

import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from pipeline import io
from pipeline.clip import Clip, is_checkpoint, load_clip

if TYPE_CHECKING:
    from pipeline.score import ScoreConfig


def the_clip(config: "ScoreConfig") -> Clip:
    """The model of this config; every part that this process does shares it."""
    return _load(config.model, config.pretrained, config.checkpoint_sha256, config.device, config.precision)


@functools.cache
def _load(model: str, pretrained: str, checkpoint_sha256: str, device: str, precision: str) -> Clip:
    del checkpoint_sha256  # is part of the key: the file at a path may have changed since
    return load_clip(model, pretrained, device=device, precision=precision)


def release() -> None:
    """Let go of loaded models."""
    _load.cache_clear()


def file_sha256(path: str) -> str:
    """The hex sha256 of a checkpoint, at a local path or a URL; "" for a tag."""
    if not is_checkpoint(path):
        return ""
    with io.open_read(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type] # it has readinto


@torch.inference_mode()
def embed(clip: Clip, pixels: Sequence[torch.Tensor], texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings of n images, each (3, H, W) float32, and n texts: two (n, d) float32."""
    images = torch.stack(list(pixels)).to(clip.device, clip.dtype)
    tokens = clip.tokenizer(list(texts)).to(clip.device)
    model = clip.model
    return _unit(model.encode_image(images)), _unit(model.encode_text(tokens))  # type: ignore[operator]


def dimensions(clip: Clip) -> int:
    """The number of dimensions of the embeddings."""
    with torch.inference_mode():
        found: int = clip.model.encode_text(clip.tokenizer([""]).to(clip.device)).shape[1]  # type: ignore[operator]
    return found


def _unit(vectors: torch.Tensor) -> np.ndarray:
    unit: np.ndarray = torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
    return unit

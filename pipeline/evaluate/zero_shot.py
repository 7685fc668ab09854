"""Models and an evaluation set → the score of every item: each image decoded once for all models, embeddings kept alone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.clip import Clip
from pipeline.evaluate.metrics import classification_items, retrieval_items
from pipeline.evaluate.sources.decoding import decoded
from pipeline.evaluate.sources.tasks import (
    MAIN_CLASSIFICATION,
    Association,
    Classification,
    Digest,
    EvalSet,
    Item,
    Task,
    prompts_of,
)
from pipeline.evaluate.special_metrics import association_items, special_items
from pipeline.score.decoding.pixels import recipe_of
from pipeline.score.decoding.tokens import tokens_of
from pipeline.score.towers import Towers
from schemas.errors import UserError

_PX_AT_ONCE = 32 * 224**2  # of images on a CPU: more are no faster, fewer small ones would be slower
_PROMPTS = 4096  # texts tokenised at once
_BASIC = (MAIN_CLASSIFICATION, "acc5", "mean_per_class_recall")


class Models:
    """Models of one kind, such as the checkpoints of a run: the same input for all."""

    def __init__(self, clips: Sequence[Clip]) -> None:
        self.clips = clips
        self.towers = [Towers(clip) for clip in clips]
        self.tokenizer = clips[0].tokenizer
        self.recipe = recipe_of(clips[0].model.visual.preprocess_cfg, exact=True)  # type: ignore[union-attr,arg-type]

    @torch.inference_mode()
    def images(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Of each model, (n, d) float32: the unit embeddings of images (n, H, W, 3) uint8."""
        if self.clips[0].device.startswith("cuda"):
            found = [towers.images(pixels) for towers in self.towers]  # all are queued before the first is waited for
            return [embedded.cpu().numpy() for embedded in found]
        step = max(1, _PX_AT_ONCE // (pixels.shape[1] * pixels.shape[2]))
        parts = [self._on_cpu(pixels[at : at + step]) for at in range(0, len(pixels), step)]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]

    def _on_cpu(self, pixels: np.ndarray) -> list[np.ndarray]:
        """The same of a few images, made ready once for all models."""
        first = self.clips[0]
        mean, std = (torch.tensor(each).view(3, 1, 1) for each in (first.mean, first.std))
        values = (torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float().div_(255) - mean) / std
        embedded = (clip.model.encode_image(values.to(clip.dtype)) for clip in self.clips)  # type: ignore[operator]
        return [torch.nn.functional.normalize(each.float(), dim=-1).numpy() for each in embedded]

    def texts(self, texts: Sequence[str], batch_size: int) -> list[np.ndarray]:
        """Of each model, (n, d) float32: the unit embeddings of n texts, tokenised once."""
        found: list[list[np.ndarray]] = [[] for _ in self.towers]
        for at in range(0, len(texts), _PROMPTS):
            tokens = tokens_of(self.tokenizer, texts[at : at + _PROMPTS])
            for towers, parts in zip(self.towers, found, strict=True):
                parts.append(towers.texts(tokens, batch_size).cpu().numpy())
        return [np.concatenate(parts) for parts in found]

    def classes(self, task: Classification, batch_size: int) -> list[np.ndarray]:
        """Of each model, (m, d) float32, unit: the mean over the unit embeddings of a class's prompts (Radford et al. 2021)."""
        step = max(1, _PROMPTS // len(task.templates))
        found: list[list[np.ndarray]] = [[] for _ in self.towers]
        for at in range(0, len(task.classes), step):
            names = task.classes[at : at + step]
            embedded = self.texts([prompt for name in names for prompt in prompts_of(name, task.templates)], batch_size)
            for parts, vectors in zip(found, embedded, strict=True):
                parts.append(_unit(vectors.reshape(len(names), len(task.templates), -1).mean(axis=1)))
        return [np.concatenate(parts) for parts in found]


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What is kept of a set's n items: of each model unit embeddings (n, d) float32, and what is known of the items."""

    images: list[np.ndarray]
    known: list[Item]  # without their images
    digest: str


def gather(eval_set: EvalSet, models: Models, *, batch_size: int, threads: int) -> Gathered:
    """Look at every image of a set. Raises UserError for what cannot be read, is incomplete or does not fit the tasks."""
    found: list[list[np.ndarray]] = [[] for _ in models.towers]
    known: list[Item] = []
    digest = Digest(eval_set.tasks)
    for batch, pixels in decoded(eval_set.items(), models.recipe, batch_size=batch_size, threads=threads, path=eval_set.path):
        for item in batch:
            for task in eval_set.tasks:
                _require_fit(item, task, eval_set.path)
            if eval_set.digest is None:
                digest.add(item)
            known.append(replace(item, image=b""))
        for embedded, parts in zip(models.images(pixels), found, strict=True):
            parts.append(embedded)
    if not known:
        raise UserError(f"{eval_set.path}: no items in it; download or make it again")
    return Gathered(images=[np.concatenate(parts) for parts in found], known=known, digest=eval_set.digest or digest.hex)


def score(task: Task, gathered: Gathered, models: Models, batch_size: int) -> list[dict[str, np.ndarray]]:
    """Of each model, metric → (n,) float32 score of every item; of WinoGAViL the items are its puzzles."""
    if isinstance(task, Classification):
        return _classified(task, gathered, models.classes(task, batch_size))
    if isinstance(task, Association):
        return _associated(gathered, models.texts(task.cues, batch_size))
    texts = models.texts([text for item in gathered.known for text in item.texts], batch_size)
    image_of = np.repeat(np.arange(len(gathered.known)), [len(item.texts) for item in gathered.known])
    return [retrieval_items(images, of_texts, image_of) for images, of_texts in zip(gathered.images, texts, strict=True)]


def _classified(task: Classification, gathered: Gathered, classes: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    truth = np.array([item.label for item in gathered.known])
    groups = np.array([-1 if item.group is None else item.group for item in gathered.known])
    all_items = []
    for images, of_classes in zip(gathered.images, classes, strict=True):
        items, answers = classification_items(images, of_classes, truth)
        if task.main_metric not in _BASIC:
            items[task.main_metric] = special_items(task.main_metric, items, truth=truth, answers=answers, groups=groups)
        all_items.append(items)
    return all_items


def _associated(gathered: Gathered, cues: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    puzzle = np.array([item.puzzle for item in gathered.known])
    begins = np.flatnonzero(np.diff(puzzle)) + 1
    wanted = np.split(np.array([item.wanted for item in gathered.known]), begins)
    scores = ((images * of_cues[puzzle]).sum(axis=1) for images, of_cues in zip(gathered.images, cues, strict=True))
    return [association_items(np.split(each, begins), wanted) for each in scores]


def _require_fit(item: Item, task: Task, path: str) -> None:
    if isinstance(task, Classification) and not 0 <= item.label < len(task.classes):
        raise UserError(f"{path}: {item.where} is of class {item.label}, and there are {len(task.classes)} class names, from 0")


def _unit(vectors: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit

"""A model → its two towers: pixels or tokens in, unit embeddings on its device out."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
import torch

from pipeline.clip import Clip

_TRIMMED_TO = 8  # tokens: on a GPU lengths are rounded up to a multiple, so that few shapes occur
_ON_CPU = 32  # images or texts at once, of a batch: more are no faster, and texts would be cut to the longest of more
_STRETCH = 1.3  # the longest text of those computed at once ÷ the shortest
_AHEAD = 2  # batches given to a GPU before the first of them has been computed


class Towers:
    """One model in evaluation mode. Embeddings stay on its device."""

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        on_gpu = clip.device.startswith("cuda")
        self.clock = _GpuClock() if on_gpu else _Clock()
        self._uploads: Any = torch.cuda.Stream(clip.device) if on_gpu else None  # type: ignore[no-untyped-call]
        shape = (3, 1, 1)
        self._mean = torch.tensor(clip.mean, device=clip.device).view(shape)
        self._std = torch.tensor(clip.std, device=clip.device).view(shape)
        self._values: torch.Tensor | None = None  # made once: new memory for each batch costs a CPU more than what is done in it
        self._causal = _causal_tower(clip.model)

    @torch.inference_mode()
    def images(self, pixels: np.ndarray) -> torch.Tensor:
        """Unit embeddings (n, d) float32 of images (n, height, width, 3) uint8, which may change when this has returned."""
        there = self._uploaded(torch.from_numpy(pixels))
        step = len(pixels) if self._uploads else _ON_CPU
        with self.clock:
            found = [self._images(there[at : at + step]) for at in range(0, len(pixels), step)]
        return torch.cat(found)

    @torch.inference_mode()
    def texts(self, tokens: np.ndarray, size: int) -> torch.Tensor:
        """Unit embeddings (n, d) float32 of texts (n, L) int32, `size` at once: like lengths together, trimmed.

        What stands after the token that is pooled cannot reach it through a causal mask, so it is left out; a tower of another
        kind gets all of it.
        """
        lengths = self._lengths(tokens)
        order = np.argsort(lengths, kind="stable")
        most = size if self._uploads else min(size, _ON_CPU)
        found = [self._texts(tokens[some], int(lengths[some].max())) for some in _runs(order, lengths, most)]
        back = torch.from_numpy(np.argsort(order, kind="stable")).to(self.clip.device)
        return torch.cat(found)[back] if found else torch.empty(0, self.width, device=self.clip.device)

    @property
    def width(self) -> int:
        """The number of dimensions of the embeddings."""
        return self.texts(self.clip.tokenizer([""]).numpy(), 1).shape[1]

    def _images(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._values is None or len(self._values) < len(pixels):
            self._values = torch.empty((len(pixels), 3, *pixels.shape[1:3]), device=self.clip.device)
        values = self._values[: len(pixels)].copy_(pixels.permute(0, 3, 1, 2))
        # As torchvision's ToTensor and Normalize compute it, so that float32 gives their very bits.
        values.div_(255).sub_(self._mean).div_(self._std)
        return _unit(self.clip.model.encode_image(values.to(self.clip.dtype)))  # type: ignore[operator]

    def _texts(self, tokens: np.ndarray, length: int) -> torch.Tensor:
        there = torch.from_numpy(tokens[:, :length]).to(self.clip.device).long()
        with self.clock, _shortened(self._causal, length):
            return _unit(self.clip.model.encode_text(there))  # type: ignore[operator]

    def _lengths(self, tokens: np.ndarray) -> np.ndarray:
        """(n,) int64: how many tokens of each text matter."""
        longest = tokens.shape[1]
        if self._causal is None:
            return np.full(len(tokens), longest)
        needed = _pooled_at(self._causal)(tokens) + 1
        step = _TRIMMED_TO if self._uploads else 1
        lengths: np.ndarray = np.minimum(-(-needed // step) * step, longest)
        return lengths

    def _uploaded(self, pixels: torch.Tensor) -> torch.Tensor:
        if self._uploads is None:
            return pixels
        compute = torch.cuda.current_stream(self.clip.device)
        with torch.cuda.stream(self._uploads):
            there = pixels.to(self.clip.device, non_blocking=True)
            done = self._uploads.record_event()
        compute.wait_event(done)
        there.record_stream(compute)
        self.clock.wait(_AHEAD)
        done.synchronize()
        return there


class _Clock:
    """Seconds spent in a block."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        self.spent_s += perf_counter() - self._began

    def wait(self, ahead: int) -> None:
        """Until all but the last `ahead` blocks have been computed."""

    def read_s(self) -> float:
        """Seconds since the last reading."""
        spent, self.spent_s = self.spent_s, 0.0
        return spent


class _GpuClock(_Clock):
    """Seconds that the device spent on a block; the block itself only queues its work."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks: deque[tuple[Any, Any]] = deque()

    def __enter__(self) -> None:
        self._start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        self._start.record()

    def __exit__(self, *_: object) -> None:
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end.record()
        self._blocks.append((self._start, end))

    def wait(self, ahead: int) -> None:
        while len(self._blocks) > ahead:
            start, end = self._blocks.popleft()
            end.synchronize()
            self.spent_s += start.elapsed_time(end) / 1000

    def read_s(self) -> float:
        self.wait(0)
        return super().read_s()


def cosines(images: torch.Tensor, texts: torch.Tensor) -> np.ndarray:
    """(n,) float32: of unit embeddings (n, d) float32, before they are rounded for storage."""
    found: np.ndarray = (images * texts).sum(dim=-1).cpu().numpy()
    return found


def stored(embeddings: torch.Tensor) -> np.ndarray:
    """(n, d) float16."""
    found: np.ndarray = embeddings.to(torch.float16).cpu().numpy()
    return found


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _runs(order: np.ndarray, lengths: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Indices in `order`, which is by length, in runs of at most `most` whose lengths are not far apart."""
    begin = 0
    while begin < len(order):
        longest = _STRETCH * lengths[order[begin]]
        near = np.searchsorted(lengths[order[begin : begin + most]], longest, side="right")
        yield order[begin : begin + int(near)]
        begin += int(near)


def _causal_tower(model: Any) -> Any:
    """The module that holds a causal text tower's mask, where the output is taken at one token of the text; None for others."""
    tower = getattr(model, "text", model)
    pooled = getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
    plain = getattr(tower, "cls_emb", None) is None and not getattr(tower, "use_pad_mask", False)
    causal = isinstance(getattr(tower, "attn_mask", None), torch.Tensor)
    positions = isinstance(getattr(tower, "positional_embedding", None), torch.Tensor)
    return tower if plain and causal and positions and pooled in ("argmax", "eos") else None


def _pooled_at(tower: Any) -> Callable[[np.ndarray], np.ndarray]:
    """(n, L) tokens → (n,): the index of the token at which the output is taken, as open_clip's text_global_pool takes it."""
    if getattr(tower, "text_pool_type", getattr(tower, "pool_type", None)) == "argmax":
        return lambda tokens: np.argmax(tokens, axis=1)
    end = getattr(tower, "text_eos_id", getattr(tower, "eos_id", None))
    return lambda tokens: np.argmax(tokens == end, axis=1)


@contextmanager
def _shortened(tower: Any, length: int) -> Iterator[None]:
    """A causal tower takes texts of this length for the block: open_clip's takes one length only."""
    if tower is None or length >= len(tower.positional_embedding):
        yield
        return
    positions, mask = tower.positional_embedding, tower.attn_mask
    tower.positional_embedding = torch.nn.Parameter(positions[:length], requires_grad=False)
    tower.attn_mask = mask[:length, :length]
    try:
        yield
    finally:
        tower.positional_embedding, tower.attn_mask = positions, mask

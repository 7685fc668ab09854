"""What a process scores with: the models of a plan on their device, and the processes that decode for them. Made once."""

import functools
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from pipeline.clip import Clip, choose_device, load_clip
from pipeline.devices import cores_here, device_here
from pipeline.nearby import sha256_of
from pipeline.score.decoding.decoders import READY, Decoders
from pipeline.score.decoding.pixels import Recipe, recipe_of
from pipeline.score.decoding.seeing import Sight
from pipeline.score.decoding.slab import Slab
from pipeline.score.plan import ModelSpec
from pipeline.score.towers import Towers
from pipeline.workers import warm_up
from schemas.errors import LostDeviceError, UserError

if TYPE_CHECKING:
    from pipeline.score import ScoreConfig

_BUFFERS = 3  # batches: one that the model takes, two that are being decoded
_MOST_DECODERS = 16
_NICE = 10  # of decoders that share the model's cores: they fill the gaps, and the model does not wait for its threads
# A process that ends waits for those it started, which wait for work until they are told to end, through queues that are closed
# at priority 10.
_BEFORE_QUEUES = 100


class Shares(NamedTuple):
    """Of what several models may share, the different ones, and which is each model's."""

    different: tuple[Any, ...]
    of_model: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What an engine is made of: two equal ones are the same engine."""

    models: tuple[ModelSpec, ...]
    device: str
    batch_size: int
    decoders: int
    exact: bool


class Engine:
    """Models and decoders. Raises UserError for a model, weights or a device that cannot be had."""

    def __init__(self, setting: Setting) -> None:
        on_gpu = setting.device.startswith("cuda")
        if on_gpu:
            torch.cuda.set_device(setting.device)  # whose streams the clocks and the models mean
        clips = [_clip(spec, setting.device) for spec in setting.models]
        recipes = _shares([_recipe(clip, setting.exact) for clip in clips])
        tokenizers = _shares([pickle.dumps(clip.tokenizer) for clip in clips])
        self._towers = [Towers(clip) for clip in clips]
        self._recipe_of, self._tokenizer_of = recipes.of_model, tokenizers.of_model
        self._batch_size, self.device = setting.batch_size, setting.device
        slab = Slab([recipe.size_px for recipe in recipes.different], slots=setting.batch_size, buffers=_BUFFERS)
        if on_gpu:
            _pin(slab.memory)
        sight = Sight(
            slab=slab,
            recipes=recipes.different,
            tokenizers=tuple(pickle.loads(pickled) for pickled in tokenizers.different),  # noqa: S301 - our own
            nice=0 if on_gpu else _NICE,
        )
        self.decoders = Decoders(sight, setting.decoders)

    def images(self, buffer: int, slots: np.ndarray) -> list[torch.Tensor]:
        """Of each model the unit embeddings (n, d) float32 of the n images in these slots of a buffer."""
        views = [self.decoders.sight.slab.pixels(buffer, recipe)[: slots[-1] + 1] for recipe in self._recipe_of]
        return [
            towers.images(view if len(slots) == len(view) else view[slots])
            for towers, view in zip(self._towers, views, strict=True)
        ]

    def texts(self, tokens: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """Of each model the unit embeddings (n, d) float32 of n texts, given as (n, L) int32 for each tokenizer."""
        return [
            towers.texts(tokens[tokenizer], self._batch_size)
            for towers, tokenizer in zip(self._towers, self._tokenizer_of, strict=True)
        ]

    def widths(self) -> list[int]:
        """The number of dimensions of each model's embeddings."""
        return [towers.width for towers in self._towers]

    def read_model_s(self) -> float:
        """Seconds that the models computed since the last reading, as the device tells."""
        return sum(towers.clock.read_s() for towers in self._towers)

    def peak_gpu_bytes(self) -> int:
        """The most of the device's memory that this process has held; 0 on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) if self.device.startswith("cuda") else 0

    def close(self) -> None:
        """End the decoders. The models are gone with the last reference."""
        if self.device.startswith("cuda"):
            _unpin(self.decoders.sight.slab.memory)
        self.decoders.close()


@contextmanager
def device_errors(device: str) -> Iterator[None]:
    """What the device says becomes a UserError; a LostDeviceError where it will say it to whatever is asked of it next."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"{device}: its memory is full; give a smaller --batch-size, or fewer --workers") from error
    except RuntimeError as error:
        if "CUDA error" not in str(error):
            raise
        raise LostDeviceError(f"{device}: {str(error).splitlines()[0]}; run the same command again to go on") from error


_engines: dict[Setting, Engine] = {}  # one at most


def the_engine(config: "ScoreConfig", models: tuple[ModelSpec, ...]) -> Engine:
    """The engine for these models; every part that this process does with the same shares it."""
    device, cores = choose_device(device_here(config.device, workers=config.workers)), cores_here(workers=config.workers)
    setting = Setting(
        models=models,
        device=device,
        batch_size=config.batch_size,
        decoders=config.decoders or _default_decoders(device, cores),
        exact=config.preprocess == "exact",
    )
    if setting not in _engines:
        _close()
        warm_up(READY)
        _release_at_exit()
        if config.workers > 1 and not device.startswith("cuda"):
            torch.set_num_threads(cores)
        _engines[setting] = Engine(setting)
    return _engines[setting]


def release() -> None:
    """Let go of the engine, if there is one, and of all models."""
    _close()
    _clip.cache_clear()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


@functools.cache
def _release_at_exit() -> None:
    Finalize(None, release, exitpriority=_BEFORE_QUEUES)


def _close() -> None:
    while _engines:
        _engines.popitem()[1].close()


def require_models(models: Sequence[ModelSpec], device: str) -> None:
    """Raises UserError where one of the models cannot be had. For telling once, before any part."""
    place = choose_device(device_here(device))
    for spec in models:
        _clip(spec, place)


@functools.cache
def _clip(spec: ModelSpec, device: str) -> Clip:
    if spec.sha256 and sha256_of(spec.pretrained) != spec.sha256:
        raise UserError(f"{spec.pretrained}: another file than when the run began; put the first one back, or give another --out")
    return load_clip(spec.model, spec.pretrained, device=device, precision=spec.precision)


def _default_decoders(device: str, cores: int) -> int:
    return min(_MOST_DECODERS, cores if device.startswith("cuda") else max(1, cores // 2))


def _recipe(clip: Clip, exact: bool) -> Recipe:
    return recipe_of(clip.model.visual.preprocess_cfg, exact=exact)  # type: ignore[arg-type,union-attr]


def _shares(of_models: Sequence[Any]) -> Shares:
    different = tuple(dict.fromkeys(of_models))
    return Shares(different, tuple(different.index(each) for each in of_models))


def _pin(memory: np.ndarray) -> None:
    """Keep pages in place, so that the device fetches them by itself."""
    status = torch.cuda.cudart().cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)  # type: ignore[no-untyped-call]
    if int(status):
        raise UserError(
            f"{memory.nbytes} bytes cannot be kept in place (cudaHostRegister: {int(status)}); give a smaller --batch-size"
        )


def _unpin(memory: np.ndarray) -> None:
    torch.cuda.cudart().cudaHostUnregister(memory.ctypes.data)  # type: ignore[no-untyped-call]

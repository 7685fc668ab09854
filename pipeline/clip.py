"""An open_clip model, ready to use: its name and weights go in, model, preprocessing and tokenizer come out."""

import difflib
import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import torch

import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

# isort: split
import open_clip
from open_clip.pretrained import get_pretrained_cfg
from open_clip.transform import PreprocessCfg, image_transform_v2

from pipeline import io
from schemas.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Wholly in low precision: open_clip's mixed "bf16" keeps norms in float32, which on a CPU costs the gain in speed.
_PRECISIONS = {"fp32": "fp32", "bf16": "pure_bf16", "fp16": "pure_fp16"}

_BF16_SINCE = (8, 0)  # CUDA compute capability
_COPY_BYTES = 2**20  # held in memory at a time


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A CLIP model in evaluation mode with all that its input needs."""

    model: torch.nn.Module  # has encode_image, encode_text, logit_scale
    preprocess: Callable[[Any], torch.Tensor]  # PIL.Image → (3, H, W) float32, evaluation transform
    tokenizer: Callable[[Sequence[str]], torch.Tensor]  # n texts → (n, L) int64
    image_size_px: int
    mean: tuple[float, ...]  # per channel, of values 0 to 1
    std: tuple[float, ...]
    device: str
    dtype: torch.dtype  # of the weights; images are cast to it


def load_clip(
    model: str,
    pretrained: str | None,
    *,
    device: str = "cpu",
    precision: str = "fp32",
    logits: tuple[float, float] | None = None,
) -> Clip:
    """The open_clip model of that name, or one of our own (pipeline/models/NAME.json), in evaluation mode.

    `pretrained` is a tag that open_clip knows or the path or URL of a checkpoint (a state_dict, or {"state_dict": …}); None
    leaves the weights random; `logits` then may give the logit scale, as a logarithm, and the logit bias to begin with, also to
    a model that is built without a bias. A local copy of weights that were trained with QuickGELU, such as OpenAI's, needs the
    model's name with `-quickgelu`; for a tag that is seen to. Raises UserError for an unknown model, tag or device and for a
    checkpoint that does not fit.
    """
    name = known_model(model)
    place = choose_device(device)
    with _quiet():
        net = _create(name, pretrained, place, precision, logits)
    cfg = net.visual.preprocess_cfg
    size = cfg["size"]
    return Clip(
        model=net.eval(),
        preprocess=image_transform_v2(PreprocessCfg(**cfg), is_train=False),
        tokenizer=_tokenizer(name),
        image_size_px=size if isinstance(size, int) else size[0],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        device=place,
        dtype=DTYPES[precision],
    )


def _tokenizer(name: str) -> Callable[[Sequence[str]], torch.Tensor]:
    try:
        found: Callable[[Sequence[str]], torch.Tensor] = open_clip.get_tokenizer(name)
    except ModuleNotFoundError as error:
        raise UserError(f"{name}: its tokenizer needs the package {error.name}; pip install {error.name}") from error
    except (OSError, ValueError) as error:
        raise UserError(
            f"{name}: its tokenizer could not be had ({_first_line(error)}); go online once, so that it is kept on this machine"
        ) from error
    return found


def known_model(model: str) -> str:
    """The model's name as open_clip files it (ViT-B/32 → ViT-B-32). Raises UserError with near names where there is none."""
    register_models()
    name = model.replace("/", "-")
    known = open_clip.list_models()
    if name not in known:
        by_lower = {other.lower(): other for other in known}
        near = [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5)]
        hint = f"close: {', '.join(near)}" if near else "`python -c 'import open_clip; print(open_clip.list_models())'` lists all"
        raise UserError(f"{model}: no such model; {hint}")
    return name


def choose_device(device: str) -> str:
    """`auto` is the GPU where there is one. Raises UserError for a device that torch does not have here."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"device {device}: not available here ({_first_line(error)}); use cpu or auto") from error
    return device


def fast_precision(*, on_gpu: bool) -> str:
    """bf16 on GPUs and CPUs that compute in it, which others only imitate; else fp16 on a GPU, fp32 on a CPU."""
    # torch says it under these names only.
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    if on_gpu:  # one that is elsewhere, for Spark's tasks, is taken for a new one
        return "bf16" if not torch.cuda.is_available() or torch.cuda.get_device_capability() >= _BF16_SINCE else "fp16"
    return "bf16" if native else "fp32"


@functools.cache
def register_models() -> None:
    """Make the configs in pipeline/models known to open_clip. They are read as resources, so that a zip will do."""
    folder = resources.files("pipeline") / "models"
    if not folder.is_dir():
        return
    with tempfile.TemporaryDirectory() as copies:
        for config in folder.iterdir():
            if config.name.endswith(".json"):
                (Path(copies) / config.name).write_bytes(config.read_bytes())
        open_clip.add_model_config(copies)  # keeps what it read; a folder that is gone later is skipped


def has_logit_bias(model: str) -> bool:
    """Whether a model is built with a logit bias, for the sigmoid loss. Raises UserError for an unknown model."""
    return (open_clip.get_model_config(known_model(model)) or {}).get("init_logit_bias") is not None


def _create(name: str, pretrained: str | None, device: str, precision: str, logits: tuple[float, float] | None) -> Any:
    if pretrained and pretrained in _tags(name):
        try:
            # open_clip only warns where weights were trained with another activation than the model's name stands for.
            quick = bool(get_pretrained_cfg(name, pretrained).get("quick_gelu", False))
            precise = _PRECISIONS[precision]
            return open_clip.create_model(name, pretrained, device=device, precision=precise, force_quick_gelu=quick)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, OSError, ValueError) as error:
            raise UserError(
                f"{name}, weights {pretrained}: could not be had ({_first_line(error)}); go online, or give a local checkpoint"
            ) from error
    if pretrained and not is_checkpoint(pretrained):
        tags = ", ".join(_tags(name)) or "none"
        raise UserError(f"{pretrained}: neither a file nor a tag of {name}; its tags: {tags}")
    # Without pretrained_text=False open_clip would fetch weights for text towers from elsewhere.
    start = dict(zip(("init_logit_scale", "init_logit_bias"), logits or (), strict=False))
    net = open_clip.create_model(name, device=device, precision=_PRECISIONS[precision], pretrained_text=False, **start)
    if pretrained:
        _load(net, name, pretrained)
    return net


def is_checkpoint(pretrained: str) -> bool:
    """Whether weights are named by a URL or by a local file, not by a tag."""
    return not io.is_local(pretrained) or os.path.isfile(io.url_to_fs(pretrained)[1])


def _load(net: Any, name: str, path: str) -> None:
    with _local(path) as local:
        try:
            _load_local(net, local)
        except Exception as error:  # torch, pickle, zipfile and safetensors each raise their own for a bad file
            raise UserError(f"{path}: not a checkpoint of {name} ({_first_line(error)})") from error


def _load_local(net: Any, path: str) -> None:
    try:
        open_clip.load_checkpoint(net, path, strict=True, weights_only=True)
    except AttributeError:
        if net.logit_bias is not None:
            raise
        # open_clip trips over a logit bias that the model is built without, as after training it with the sigmoid loss.
        net.logit_bias = torch.nn.Parameter(torch.zeros_like(net.logit_scale))
        open_clip.load_checkpoint(net, path, strict=True, weights_only=True)


@contextmanager
def _local(path: str) -> Iterator[str]:
    """The name of a file on this machine that holds what is at a path or URL; a copy is gone afterwards."""
    if io.is_local(path):
        yield io.url_to_fs(path)[1]
        return
    # The copy keeps its suffix: by it open_clip tells safetensors from a pickle.
    with io.open_read(path) as source, tempfile.NamedTemporaryFile(suffix=os.path.splitext(path)[1]) as copy:
        shutil.copyfileobj(source, copy, _COPY_BYTES)
        copy.flush()
        yield copy.name


def _tags(name: str) -> list[str]:
    return list(open_clip.list_pretrained_tags_by_model(name))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] or type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """open_clip logs what is told as an error here anyway, and warns of weights that are random on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)

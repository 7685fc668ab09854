"""CLIP models and GPUs → GPU seconds per pair, calculated: no GPU was measured for it.

A transformer layer of width w on n tokens takes 24 w² n + 4 w n² floating-point operations (the four products of attention, the
two of an MLP four times as wide, and attention's own two): Kaplan et al. 2020, table 1, with attention's term written out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.plan.figures import told

_CHANNELS = 3


def gflop_per_pair(model: str) -> float:
    """10^9 operations for a picture and its text, as open_clip's own profile counts them (ViT-B-32: 14.8, ViT-L-14: 175)."""
    towers = told()["models"][model]
    image, text = towers["image"], towers["text"]
    patches = (image["image_px"] // image["patch_px"]) ** 2
    cut = 2 * _CHANNELS * image["patch_px"] ** 2 * image["width"] * patches
    operations: float = cut + _layers(image, patches + 1) + _layers(text, text["tokens"])
    return operations / 1e9


def _layers(tower: Mapping[str, Any], tokens: int) -> float:
    width = tower["width"]
    return float(tower["layers"] * (24 * width**2 * tokens + 4 * width * tokens**2))


def gpu_s_per_pair(models: Sequence[str], gpu: str, utilisation: float) -> float:
    """Seconds of the card for one pair by all models, at that share of the peak that its maker states."""
    reached: float = told()["gpus"][gpu]["peak_tflops"] * 1e3 * utilisation
    return sum(map(gflop_per_pair, models)) / reached


def embedding_bytes(models: Sequence[str]) -> int:
    """Bytes of a row in the .npz files: a picture's and a text's embedding of each model in float16."""
    return sum(2 * 2 * int(told()["models"][model]["dimensions"]) for model in models)

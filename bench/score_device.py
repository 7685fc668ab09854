"""What a device can do at best: a model fed from memory alone, matrix products: `python -m bench.score_device JSON` → JSON.

In: an object with `work` and that function's arguments. Out: its answer on the last line. A process of its own, so that nothing
of it is left on the device when the next run begins.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from bench.score_shards import texts

_STEP = 8  # tokens: what texts are lengthened to on a GPU, so that few shapes occur
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def in_memory(
    *, model: str, pretrained: str, configs: str, device: str, precision: str, batch_size: int, pairs: int
) -> dict[str, float]:
    """Pairs per second of both towers, pixels and tokens lying ready on the device; texts sorted by length and cut to it.

    The operations of a pair are counted as executed, a multiplication and an addition as two.
    """
    import pipeline.torchvision_ops  # noqa: F401 - before open_clip, which imports torchvision

    # isort: split
    import open_clip
    from torch.utils.flop_counter import FlopCounterMode

    from pipeline.clip import load_clip

    open_clip.add_model_config(configs)
    clip = load_clip(model, pretrained, device=device, precision=precision)
    size = (batch_size, 3, clip.image_size_px, clip.image_size_px)
    pixels = torch.randn(size, device=device).to(clip.dtype)
    batches = [tokens.to(device) for tokens in by_length(clip.tokenizer, pairs, batch_size, _STEP if device != "cpu" else 1)]

    def both(tokens: torch.Tensor) -> None:
        clip.model.encode_image(pixels[: len(tokens)])  # type: ignore[operator]
        encode_shortened(clip.model, tokens)

    with torch.inference_mode():
        torch.backends.mha.set_fastpath_enabled(False)  # the fused operation is not counted
        with FlopCounterMode(display=False) as counter:
            both(batches[len(batches) // 2])
        torch.backends.mha.set_fastpath_enabled(True)
        for tokens in batches[:: max(1, len(batches) // 3)]:  # what is compiled or chosen at the first call of a shape
            both(tokens)
        took_s = _seconds(lambda: [both(tokens) for tokens in batches], device)
    gflop = counter.get_total_flops() / len(batches[len(batches) // 2]) / 1e9
    return {"pairs_per_s": pairs / took_s, "gflop_per_pair": gflop, "tokens_per_text": _mean_length(batches)}


def encode_shortened(model: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Embeddings (n, d) of tokens (n, L), L up to the model's own: behind a causal mask the rest cannot matter."""
    length, positions = tokens.shape[1], model.positional_embedding
    states = (model.token_embedding(tokens) + positions[:length]).to(positions.dtype)
    states = model.ln_final(model.transformer(states, attn_mask=model.attn_mask[:length, :length]))
    at_end: torch.Tensor = states[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=-1)]
    return at_end @ model.text_projection


def matrix_products(device: str, precision: str, side: int, seconds: float) -> dict[str, float]:
    """The most operations per second of products of two square matrices, 10^12, over runs that together take `seconds`."""
    left, right = (torch.randn(side, side, device=device).to(_DTYPES[precision]) for _ in range(2))
    once_s = _seconds(lambda: left @ right, device)
    times = max(1, round(seconds / 5 / once_s))
    best_s = min(_seconds(lambda: [left @ right for _ in range(times)], device) / times for _ in range(5))
    return {"tflops": 2 * side**3 / best_s / 1e12}


def name(device: str) -> dict[str, str]:
    """What the device is called."""
    return {"name": torch.cuda.get_device_name(device) if device.startswith("cuda") else device}


def by_length(tokenizer: Callable[[list[str]], torch.Tensor], pairs: int, size: int, step: int) -> list[torch.Tensor]:
    """(n, L) tokens of `pairs` captions in batches of `size`, shortest first, each as long as its longest or a little more."""
    captions = texts()[0]
    tokens = tokenizer([captions[row % len(captions)] for row in range(pairs)]).numpy()
    lengths = tokens.argmax(axis=1) + 1
    order = np.argsort(lengths, kind="stable")
    runs = [order[at : at + size] for at in range(0, pairs, size)]
    longest = tokens.shape[1]
    return [torch.from_numpy(tokens[run, : min(longest, -(-int(lengths[run].max()) // step) * step)]) for run in runs]


def _mean_length(batches: Sequence[torch.Tensor]) -> float:
    return sum(tokens.numel() for tokens in batches) / sum(len(tokens) for tokens in batches)


def _seconds(work: Callable[[], Any], device: str) -> float:
    _finish(device)
    began = time.perf_counter()
    work()
    _finish(device)
    return time.perf_counter() - began


def _finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


WORKS: dict[str, Callable[..., dict[str, Any]]] = {"in_memory": in_memory, "matrix_products": matrix_products, "name": name}

if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    print(json.dumps(WORKS[asked.pop("work")](**asked)))

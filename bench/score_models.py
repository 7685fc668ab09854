"""The models of the score benchmark: weights drawn at random once, which both sides load, and a model that costs nothing.

No weights can be downloaded where the benchmark runs, and none are needed: speed does not depend on them. The model that costs
next to nothing takes the same pictures and the same tokens as ViT-B-32, so what remains is everything around the model.
"""

import json
from pathlib import Path
from typing import Any

from bench.places import CACHE

REAL, LARGE, TINY, SMALLEST = "ViT-B-32", "ViT-L-14", "bench-tiny-224", "bench-tiny-32"
OF_THE_BENCHMARK = (TINY, SMALLEST)
_SEED = 20240521


def configs() -> Path:
    """A folder with the configs of the models that open_clip does not know, one file each, as it takes them."""
    folder = CACHE / "score_models" / "configs"
    folder.mkdir(parents=True, exist_ok=True)
    for model, image_px in ((TINY, 224), (SMALLEST, 32)):
        path, text = folder / f"{model}.json", json.dumps(_config(image_px))
        if not (path.is_file() and path.read_text() == text):
            path.write_text(text)
    return folder


def _config(image_px: int) -> dict[str, Any]:
    vision = {"image_size": image_px, "layers": 1, "width": 32, "head_width": 32, "patch_size": image_px // 2}
    text = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 1, "layers": 1}
    return {"embed_dim": 32, "vision_cfg": vision, "text_cfg": text}


def checkpoint(model: str) -> Path:
    """A file with random weights of that model, always the same ones; made where it is not there yet (a few seconds)."""
    known = configs()
    path = known.parent / f"{model}_{_SEED}.pt"
    if path.is_file():
        return path
    import torch

    from pipeline.clip import load_clip

    # isort: split
    import open_clip  # after what makes its import of torchvision work

    open_clip.add_model_config(known)
    torch.manual_seed(_SEED)
    fresh = path.with_suffix(".new")
    torch.save(load_clip(model, None).model.state_dict(), fresh)
    fresh.replace(path)
    return path

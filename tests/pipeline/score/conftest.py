"""A tiny CLIP with random weights, and shards made by hand."""

import copy
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

Member = tuple[str, bytes]

TINY = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


class Tiny(NamedTuple):
    name: str
    checkpoint: str


@pytest.fixture(scope="session")
def tiny_config() -> dict[str, Any]:
    """The tiny model as open_clip describes models; a copy."""
    return copy.deepcopy(TINY)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny model's name, known to open_clip from now on, and a checkpoint of random weights."""
    import torch

    from pipeline.clip import load_clip, open_clip

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny-test.json").write_text(json.dumps(TINY))
    open_clip.add_model_config(folder / "tiny-test.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = load_clip("tiny-test", None).model
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, folder / "tiny.pt")
    return Tiny("tiny-test", str(folder / "tiny.pt"))


@pytest.fixture(scope="session")
def picture() -> Callable[..., bytes]:
    """picture(seed, size, format): an encoded image of random coloured blocks."""

    def draw(seed: int, *, size: tuple[int, int] = (48, 40), form: str = "JPEG", mode: str = "RGB") -> bytes:
        rng = np.random.default_rng(seed)
        blocks = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        target = io.BytesIO()
        blocks.resize(size, Image.Resampling.NEAREST).convert(mode).save(target, form)
        return target.getvalue()

    return draw


@pytest.fixture(scope="session")
def sample(picture: Callable[..., bytes]) -> Callable[..., list[Member]]:
    """sample(i, **members): the members of pair i in img2dataset's layout; a keyword replaces one, None leaves it out."""

    def make(i: int, **replaced: bytes | None) -> list[Member]:
        told = {"uid": f"{i:032x}", "url": f"http://a.example/{i}.jpg", "caption": f"a caption {i}", "sha256": "ab" * 32}
        members = {"jpg": picture(i), "json": json.dumps(told).encode(), "txt": f"a caption {i}".encode(), **replaced}
        return [(f"{i:09d}.{suffix}", content) for suffix, content in members.items() if content is not None]

    return make


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, list[Member]], Path]:
    """write_tar(path, members): a tar of these members in this order."""

    def write(path: Path, members: list[Member]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as archive:
            for name, content in members:
                header = tarfile.TarInfo(name)
                header.size = len(content)
                archive.addfile(header, io.BytesIO(content))
        return path

    return write

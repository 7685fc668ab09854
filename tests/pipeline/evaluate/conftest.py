"""Small evaluation sets drawn here, in every layout: coloured squares on noise; and a run with two checkpoints."""

import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from pipeline.clip import load_clip

COLOURS = {"red": (220, 40, 40), "green": (40, 160, 60), "blue": (40, 80, 220)}
NAMES = list(COLOURS)
CLASSES = [["", name] for name in NAMES]


def picture(number, kind="PNG"):
    """An encoded image; deterministic."""
    pixels = np.random.default_rng(number).integers(90, 130, (40, 36, 3)).astype(np.uint8)
    pixels[8:32, 10:30] = list(COLOURS.values())[number % 3]
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def write_task(folder, name, columns, classes=None, templates=None):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    for kind, value in (("classes", classes), ("templates", templates)):
        if value is not None:
            (folder / f"{name}.{kind}.json").write_text(json.dumps(value))
    return str(folder / f"{name}.parquet")


def both_tasks(folder, n=24):
    images = [picture(number) for number in range(n)]
    texts = [f"{NAMES[number % 3]} square {number}" for number in range(n)]
    columns = {"jpg": images, "text": texts, "label": [NAMES[number % 3] for number in range(n)]}
    return write_task(folder, "cls_ret_squares", columns, CLASSES)


def npy(values):
    out = io.BytesIO()
    np.save(out, np.asarray(values, np.int64))
    return out.getvalue()


def write_webdataset(folder, samples, *, classes=NAMES, templates=("a {c} square",), kind=None, shard_size=10, split="test"):
    """A set as CLIP_benchmark's builder lays it out; samples: list of {suffix: bytes}."""
    (folder / split).mkdir(parents=True)
    starts = list(range(0, len(samples), shard_size)) or [0]
    for shard, start in enumerate(starts):
        with tarfile.open(folder / split / f"{shard}.tar", "w") as tar:
            for number, sample in enumerate(samples[start : start + shard_size], start):
                for suffix, content in sample.items():
                    header = tarfile.TarInfo(f"s{number:07d}.{suffix}")
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))
    (folder / split / "nshards.txt").write_text(f"{len(starts)}\n")
    texts = {"classnames": classes, "zeroshot_classification_templates": templates, "dataset_type": kind and [kind]}
    for name, lines in texts.items():
        if lines:
            (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def classified(n, **others):
    """Samples of n images with class numbers, and further members by function."""
    return [
        {"png": picture(number), "cls": str(number % 3).encode(), **{name: make(number) for name, make in others.items()}}
        for number in range(n)
    ]


def captioned(n, captions=5):
    """Samples of n images with so many captions each."""
    return [
        {"png": picture(i), "txt": "\n".join(f"{NAMES[i % 3]} square {i}, told {j} times" for j in range(captions)).encode()}
        for i in range(n)
    ]


def write_image_folder(folder, n=24):
    """DIR/NAME/CLASS/*.png."""
    for number in range(n):
        place = folder / NAMES[number % 3]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03d}.png").write_bytes(picture(number))
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run with two checkpoints of random weights, as `train` leaves it."""
    folder = tmp_path_factory.mktemp("run")
    for seen in (128, 256):
        torch.manual_seed(seen)
        torch.save({"state_dict": load_clip("demo", None).model.state_dict()}, folder / f"checkpoint_{seen:012d}.pt")
    told = {"filter": "f", "scale": "demo", "model": "demo", "seed": 1, "rows": 9, "checkpoints": [128, 256]}
    (folder / "train.json").write_text(json.dumps({**told, "flops_per_sample": 1.5e6}))
    return folder


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]

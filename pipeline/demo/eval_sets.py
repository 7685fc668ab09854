"""Held-out scenes as evaluation sets: which object, which colour, and which caption belongs to which picture.

Each set is a parquet (jpg, text and, for classification, label and wnid), with NAME.classes.json and NAME.templates.json.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.demo.captions import caption
from pipeline.demo.scenes import BACKDROPS, COLOURS, SHAPES, Scene, draw, sample_scene
from pipeline.demo.seed_set import encode_jpeg

_SIDE_PX = 96
_OBJECT_TEMPLATES = [f"a {colour} {{}}" for colour in COLOURS] + [
    "a photo of a {}",
    "a drawing of a {}",
    "a {} on a plain background",
]
_COLOUR_TEMPLATES = [f"a {{}} {shape}" for shape in SHAPES] + ["a {} thing", "a photo of something {}"]

_CLASSIFICATION = pa.schema([("text", pa.string()), ("label", pa.int64()), ("wnid", pa.string()), ("jpg", pa.binary())])
_RETRIEVAL = pa.schema([("text", pa.string()), ("jpg", pa.binary())])


def write_eval_sets(folder: str, items: int, seed: int) -> list[str]:
    """Write cls_objects, cls_colours and ret_scenes of `items` pictures each to `folder`; their parquet paths.

    Raises ValueError where `items` is above 1920, the number of different (object, colour, background).
    """
    io.make_folder(folder)
    return [
        *(_write_classes(folder, made, items, seed) for made in _CLASS_SETS),
        _write_retrieval(f"{folder}/ret_scenes.parquet", items, seed),
    ]


@dataclass(frozen=True, kw_only=True)
class _ClassSet:
    """A classification set: its name, its classes, the prompts they are put into, and a scene's class."""

    name: str
    classes: Sequence[str]
    templates: list[str]
    class_of: Callable[[Scene], str]


_CLASS_SETS = (
    _ClassSet(name="cls_objects", classes=SHAPES, templates=_OBJECT_TEMPLATES, class_of=lambda scene: scene.main.shape),
    _ClassSet(name="cls_colours", classes=COLOURS, templates=_COLOUR_TEMPLATES, class_of=lambda scene: scene.main.colour),
)


def _write_classes(folder: str, made: _ClassSet, items: int, seed: int) -> str:
    rng, rows = Random(f"{made.name} {seed}"), []
    for _ in range(items):
        scene = replace(sample_scene(rng), second=None)
        rows.append(
            {"text": caption(scene, rng), "label": made.classes.index(made.class_of(scene)), "wnid": "", "jpg": _jpg(scene)}
        )
    _write_json(f"{folder}/{made.name}.classes.json", [["", word] for word in made.classes])
    _write_json(f"{folder}/{made.name}.templates.json", made.templates)
    return _write_table(f"{folder}/{made.name}.parquet", rows, _CLASSIFICATION)


def _write_retrieval(path: str, items: int, seed: int) -> str:
    """Pictures that differ in object, colour or background, each with its own caption."""
    kinds = [(shape, colour, background) for shape in SHAPES for colour in COLOURS for background in BACKDROPS]
    if items > len(kinds):
        raise ValueError(f"{items} items: at most {len(kinds)} different ones can be made")
    rng, rows, seen = Random(f"ret_scenes {seed}"), [], set()
    for shape, colour, background in rng.sample(kinds, items):
        scene = sample_scene(rng)
        scene = replace(scene, main=replace(scene.main, shape=shape, colour=colour), background=background, second=None)
        text = caption(scene, rng, place_share=1.0)  # without its place, a caption would fit other pictures too
        while text in seen:
            text = caption(scene, rng, place_share=1.0)
        seen.add(text)
        rows.append({"text": text, "jpg": _jpg(scene)})
    return _write_table(path, rows, _RETRIEVAL)


def _jpg(scene: Scene) -> bytes:
    return encode_jpeg(draw(scene, _SIDE_PX))


def _write_table(path: str, rows: list[dict[str, Any]], schema: pa.Schema) -> str:
    with io.atomic_write(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), file)
    return path


def _write_json(path: str, value: Any) -> None:
    with io.atomic_write(path) as file:
        file.write((json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode())

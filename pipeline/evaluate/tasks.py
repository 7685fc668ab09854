"""A folder of parquet files → the tasks a model is tested on.

cls_NAME.parquet: columns `jpg` (encoded image) and `wnid` or `label`; classes in cls_NAME.classes.json, a list of [key, name]:
a row is of the class whose key is its `wnid`, or, where the key is empty, whose name (or number from 0) is its `label`. Prompts
may stand in cls_NAME.templates.json. ret_NAME.parquet: columns `jpg` and `text`. cls_ret_NAME.parquet is both.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from schemas.errors import UserError

# What a class name is put into where the task does not say; the embeddings of all are averaged (Radford et al. 2021).
TEMPLATES = ("a photo of a {}", "{}", "a {}", "a picture of a {}")


@dataclass(frozen=True, kw_only=True)
class Classification:
    """Which of m classes each of n images shows. `truth`: (n,) int64."""

    name: str
    dataset: str
    images: tuple[bytes, ...]
    truth: np.ndarray
    classes: tuple[str, ...]
    templates: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Which of n texts belongs to each of n images, and the other way round: pair i is (images[i], texts[i])."""

    name: str
    dataset: str
    images: tuple[bytes, ...]
    texts: tuple[str, ...]


Task = Classification | Retrieval


def task_files(folder: str) -> list[str]:
    """The task files of a folder, sorted by name. Raises UserError where there is none."""
    found = [path for path in io.list_files(folder, ".parquet") if io.stem(path).startswith(("cls_", "ret_"))]
    if not found:
        raise UserError(f"{folder}: no cls_NAME.parquet and no ret_NAME.parquet in it")
    return found


def read_tasks(path: str) -> list[Task]:
    """The one or two tasks of a file. Raises UserError where columns, classes or images are missing."""
    stem = io.stem(path)
    table = _read(path)
    images = tuple(table["jpg"].to_pylist())
    if not images or any(image is None for image in images):
        raise UserError(f"{path}: a task needs at least one row, and an image in every row")
    both = stem.startswith("cls_ret_")
    short = stem.removeprefix("cls_").removeprefix("ret_")
    tasks: list[Task] = []
    if stem.startswith("cls_"):
        tasks.append(_classification(path, table, images, f"cls_{short}" if both else stem))
    if both or stem.startswith("ret_"):
        if "text" not in table.column_names or table["text"].null_count:
            raise UserError(f"{path}: retrieval needs a column `text` with a text in every row")
        tasks.append(Retrieval(name=f"ret_{short}", dataset=short, images=images, texts=tuple(table["text"].to_pylist())))
    return tasks


def digest(path: str) -> str:
    """16 hex digits that name a task file and its classes and prompts: results of different ones are not to be compared."""
    sides = [path, _beside(path, "classes"), _beside(path, "templates")]
    return hashlib.sha256(b"".join(hashlib.sha256(io.read_bytes(p)).digest() for p in sides if io.exists(p))).hexdigest()[:16]


def _read(path: str) -> pa.Table:
    try:
        with io.open_read(path) as file:
            source = pq.ParquetFile(file)
            wanted = [name for name in ("jpg", "text", "label", "wnid") if name in source.schema_arrow.names]
            table = source.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable parquet file ({error})") from error
    if "jpg" not in table.column_names:
        raise UserError(f"{path}: no column `jpg` (encoded images)")
    return table


def _classification(path: str, table: pa.Table, images: tuple[bytes, ...], name: str) -> Classification:
    classes = _list_of(_beside(path, "classes"), "a list of [key, class name]", _is_class)
    templates_path = _beside(path, "templates")
    given = io.exists(templates_path)
    templates = _list_of(templates_path, 'a list of texts with "{}" in each', _is_template) if given else TEMPLATES
    return Classification(
        name=name,
        dataset=name.removeprefix("cls_"),
        images=images,
        truth=_truth(path, table, classes),
        classes=tuple(label for _, label in classes),
        templates=tuple(templates),
    )


def _truth(path: str, table: pa.Table, classes: Sequence[Sequence[str]]) -> np.ndarray:
    by_key = {key: number for number, (key, _) in enumerate(classes) if key}
    by_name: dict[Any, int] = {label: number for number, (key, label) in enumerate(classes) if not key}
    empty = [None] * table.num_rows
    keys = table["wnid"].to_pylist() if "wnid" in table.column_names else empty
    labels = table["label"].to_pylist() if "label" in table.column_names else empty
    numbers = {number: number for number in range(len(classes))}  # an integer label is a class's number
    by_name = {**numbers, **by_name}
    truth = [by_key.get(key, by_name.get(label, -1)) for key, label in zip(keys, labels, strict=True)]
    if -1 in truth:
        row = truth.index(-1)
        raise UserError(
            f"{path}: row {row} (wnid {keys[row]!r}, label {labels[row]!r}) is of no class in {_beside(path, 'classes')}"
        )
    return np.asarray(truth, np.int64)


def _beside(path: str, kind: str) -> str:
    return f"{path.removesuffix('.parquet')}.{kind}.json"


def _is_class(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, str) for each in value)


def _is_template(value: Any) -> bool:
    return isinstance(value, str) and "{}" in value


def _list_of(path: str, wanted: str, fits: Any) -> list[Any]:
    try:
        value = json.loads(io.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, list) or not value or not all(fits(each) for each in value):
        raise UserError(f"{path}: must be {wanted}")
    return value

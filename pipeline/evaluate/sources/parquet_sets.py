"""Our own evaluation sets: parquet files, with classes and prompts as JSON beside them.

cls_NAME.parquet: columns `jpg` (encoded image) and `wnid` or `label`; classes in cls_NAME.classes.json, a list of [key, name]:
a row is of the class whose key is its `wnid`, or, where the key is empty, whose name (or number from 0) is its `label`. Prompts
may stand in cls_NAME.templates.json. ret_NAME.parquet: columns `jpg` and `text`, a text or a list of texts. cls_ret_NAME.parquet
is both.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.evaluate.sources.tasks import TEMPLATES, Classification, EvalSet, Item, Retrieval, Task, is_template
from schemas.errors import UserError

_ROWS = 256  # whose images are in memory at once


def is_set(path: str) -> bool:
    """Whether a parquet's name says that it is an evaluation set."""
    return io.stem(path).startswith(("cls_", "ret_"))


def names_of(path: str) -> list[str]:
    """The one or two tasks that a file's name promises."""
    stem = io.stem(path)
    if not stem.startswith("cls_ret_"):
        return [stem]
    return [stem.replace("cls_ret_", kind, 1) for kind in ("cls_", "ret_")]


def open_parquet(path: str) -> EvalSet:
    """The set in a file. Raises UserError where columns, classes or texts are missing."""
    table = _table(path)
    tasks: list[Task] = []
    truth = np.full(table.num_rows, -1)
    texts: list[tuple[str, ...]] = [()] * table.num_rows
    for name in names_of(path):
        short = name.removeprefix("cls_").removeprefix("ret_")
        if name.startswith("cls_"):
            classes = list_in(_beside(path, "classes"), "a list of [key, class name]", _is_class)
            truth = _truth(path, table, classes)
            labels = tuple(label for _, label in classes)
            tasks.append(Classification(name=name, dataset=short, classes=labels, templates=_templates(path)))
        else:
            texts = _texts(path, table)
            tasks.append(Retrieval(name=name, dataset=short))
    return EvalSet(path=path, tasks=tuple(tasks), items=partial(_items, path, truth, texts), digest=digest(path))


def digest(path: str) -> str:
    """16 hex digits of a file and its classes and prompts."""
    sides = [path, _beside(path, "classes"), _beside(path, "templates")]
    return hashlib.sha256(b"".join(hashlib.sha256(io.read_bytes(p)).digest() for p in sides if io.exists(p))).hexdigest()[:16]


def images_in(path: str) -> Iterator[bytes]:
    """The images of a file, encoded."""
    return (image for _, image in _rows(path))


def list_in(path: str, wanted: str, fits: Any) -> list[Any]:
    """The list in a JSON file. Raises UserError where it is none, is empty or one of its values does not fit."""
    try:
        value = json.loads(io.read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    if not isinstance(value, list) or not value or not all(fits(each) for each in value):
        raise UserError(f"{path}: must be {wanted}")
    return value


def _table(path: str) -> pa.Table:
    """All but the images."""
    try:
        with io.open_read(path) as file:
            source = pq.ParquetFile(file)
            names = source.schema_arrow.names
            table = source.read(columns=[name for name in ("text", "label", "wnid") if name in names])
            rows = source.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a readable parquet file ({error})") from error
    if "jpg" not in names:
        raise UserError(f"{path}: no column `jpg` (encoded images)")
    if not rows:
        raise UserError(f"{path}: a task needs at least one row, and an image in every row")
    return table if table.num_columns else pa.table({"_": pa.nulls(rows)})


def _items(path: str, truth: np.ndarray, texts: Sequence[tuple[str, ...]]) -> Iterator[Item]:
    for row, image in _rows(path):
        yield Item(where=f"row {row}", image=image, label=int(truth[row]), texts=texts[row])


def _rows(path: str) -> Iterator[tuple[int, bytes]]:
    row = 0
    try:
        with io.open_read(path) as file:
            for batch in pq.ParquetFile(file).iter_batches(batch_size=_ROWS, columns=["jpg"]):
                for image in batch.column(0).to_pylist():
                    if not isinstance(image, bytes):
                        raise UserError(f"{path}: row {row} has no image in column `jpg`; every row needs one, encoded")
                    yield row, image
                    row += 1
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error}); download or make it again") from error


def _texts(path: str, table: pa.Table) -> list[tuple[str, ...]]:
    values = table["text"].to_pylist() if "text" in table.column_names else [None]
    texts = [(value,) if isinstance(value, str) else tuple(value or ()) for value in values]
    if not all(each and all(isinstance(text, str) for text in each) for each in texts):
        raise UserError(f"{path}: retrieval needs a column `text` with a text in every row")
    return texts


def _templates(path: str) -> tuple[str, ...]:
    beside = _beside(path, "templates")
    return tuple(list_in(beside, 'a list of texts with "{}" in each', is_template)) if io.exists(beside) else TEMPLATES


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

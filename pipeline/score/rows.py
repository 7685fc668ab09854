"""What a shard tells of a sample, in its json and its sidecar parquet → the columns of scores. All of it is untrusted."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipeline.samples import clean
from schemas.scores import SCORES, clip_column

_TOLD = tuple(
    field
    for field in SCORES
    if field.name
    in {"original_width", "original_height", "face_bboxes", "sha256", "lang", "lang_prob", "page_url", "license_url", "opted_out"}
)

SIDECAR_COLUMNS = ("uid", "caption", "url", *(field.name for field in _TOLD))


def schema_with(name: str) -> pa.Schema:
    """The schema of scores with the similarity column of the model called `name`, which stands last where it is not ours."""
    column = clip_column(name)
    return SCORES if column.name in SCORES.names else SCORES.append(column)


def told_columns(told: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are taken over as they stand; null where a value is missing or of another type."""
    return {"url": clean(told.get("url")) or "", **{field.name: _fitting(told.get(field.name), field) for field in _TOLD}}


def _fitting(value: Any, field: pa.Field) -> Any:
    if isinstance(value, str):
        value = clean(value)
    if field.name == "face_bboxes" and not _are_boxes(value):
        return None
    try:
        fitted = pa.array([value], field.type, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return None
    return fitted[0].as_py()


def _are_boxes(value: Any) -> bool:
    """Whether it is a list of lists of numbers: Arrow takes a null inside, and the parquet writer fails on it later."""
    return isinstance(value, list) and all(
        isinstance(box, list) and all(isinstance(side, int | float) for side in box) for box in value
    )

"""What a shard tells of a sample, in its json and its sidecar parquet → the columns of scores. All of it is untrusted."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from pipeline.samples import clean
from schemas.scores import SCORES, is_clip_column

_TOLD = tuple(
    field
    for field in SCORES
    if field.name
    in {"original_width", "original_height", "face_bboxes", "sha256", "lang", "lang_prob", "page_url", "license_url", "opted_out"}
)

SIDECAR_COLUMNS = ("uid", "caption", "url", *(field.name for field in _TOLD))


# What is known of a pair when its image was seen: a row of scores but for the shard's name and what models say.
SEEN = pa.schema([field for field in SCORES if field.name != "shard" and not is_clip_column(field.name)])


def schema_with(columns: Iterable[pa.Field]) -> pa.Schema:
    """The schema of scores with these columns besides; those that are not in it anyway stand last, by name."""
    others = {column.name: column for column in columns if column.name not in SCORES.names}
    return pa.schema([*SCORES, *(others[name] for name in sorted(others))], metadata=SCORES.metadata)


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

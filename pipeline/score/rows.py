"""What a shard tells of a sample, in its json and its sidecar parquet → the columns of scores. All of it is untrusted."""

from collections.abc import Iterable, Mapping, Sequence
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

_UNFITTING = (pa.ArrowException, OverflowError, TypeError, ValueError)  # what Arrow says to a value of another type
SIDECAR_COLUMNS = ("uid", "caption", "url", *(field.name for field in _TOLD))


# What is known of a pair when its image was seen: a row of scores but for the shard's name and what models say.
SEEN = pa.schema([field for field in SCORES if field.name != "shard" and not is_clip_column(field.name)])


def schema_with(columns: Iterable[pa.Field]) -> pa.Schema:
    """The schema of scores with these columns besides; those that are not in it anyway stand last, by name."""
    others = {column.name: column for column in columns if column.name not in SCORES.names}
    return pa.schema([*SCORES, *(others[name] for name in sorted(others))], metadata=SCORES.metadata)


def told_columns(told: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """The columns that are taken over as they stand; null where a value is missing or of another type."""
    urls = pa.array([clean(each.get("url")) or "" for each in told], pa.string())
    return {"url": urls, **{field.name: _column([each.get(field.name) for each in told], field) for field in _TOLD}}


def _column(values: Sequence[Any], field: pa.Field) -> pa.Array:
    likely = [_likely(value, field) for value in values]
    try:
        return pa.array(likely, field.type, from_pandas=True)
    except _UNFITTING:
        return pa.array([_fitting(value, field) for value in likely], field.type)


def _likely(value: Any, field: pa.Field) -> Any:
    """A value that Arrow takes for the column's type, or refuses at once."""
    if isinstance(value, str):
        return clean(value)
    return value if field.name != "face_bboxes" or _are_boxes(value) else None


def _fitting(value: Any, field: pa.Field) -> Any:
    try:
        return pa.array([value], field.type, from_pandas=True)[0].as_py()
    except _UNFITTING:
        return None


def _are_boxes(value: Any) -> bool:
    """Whether it is a list of lists of numbers: Arrow takes a null inside, and the parquet writer fails on it later."""
    return isinstance(value, list) and all(
        isinstance(box, list) and all(isinstance(side, int | float) for side in box) for box in value
    )

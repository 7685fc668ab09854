"""What a shard tells of a sample, in its json and its sidecar parquet → the columns of scores. All of it is untrusted."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from schemas.errors import UserError
from schemas.scores import SCORES, clip_column

_UID = re.compile(r"[0-9a-f]{32}")
_TOLD = tuple(
    field
    for field in SCORES
    if field.name
    in {"original_width", "original_height", "face_bboxes", "sha256", "lang", "lang_prob", "page_url", "license_url", "opted_out"}
)


def schema_with(name: str) -> pa.Schema:
    """The schema of scores with the similarity column of the model called `name`, which stands last where it is not ours."""
    column = clip_column(name)
    return SCORES if column.name in SCORES.names else SCORES.append(column)


def read_sidecar(tar_path: str) -> dict[str, dict[str, Any]]:
    """The rows of the parquet beside a tar, by key; nothing where there is none. Raises UserError where it is damaged."""
    path = tar_path.removesuffix(".tar") + ".parquet"
    if not io.exists(path):
        return {}
    try:
        with io.open_read(path) as source:
            file = pq.ParquetFile(source)
            wanted = [name for name in ("key", "uid", "url", *(f.name for f in _TOLD)) if name in file.schema_arrow.names]
            rows = file.read(columns=wanted).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error})") from error
    return {row["key"]: row for row in rows if row.get("key")}


def parse_json(content: bytes | None) -> dict[str, Any]:
    """A sample's json; nothing where it is missing or is not an object."""
    try:
        value = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def uid_of(told: Mapping[str, Any]) -> str | None:
    """The uid, in lower case; None where there is none or it is not 32 hex digits."""
    uid = told.get("uid")
    return uid.lower() if isinstance(uid, str) and _UID.fullmatch(uid.lower()) else None


def told_columns(told: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are taken over as they stand; null where a value is missing or of another type."""
    return {"url": clean(told.get("url")) or "", **{field.name: _fitting(told.get(field.name), field) for field in _TOLD}}


def clean(text: Any) -> str | None:
    """A string that UTF-8 can hold (JSON may smuggle in lone surrogates); None for anything else."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else None


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

"""A filter as plain JSON values: what a subset's account and the documentation say of it."""

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def describe(part: Any) -> dict[str, Any]:
    """`{"filter": name, field: value, …}` of a filter, selector, measure or sampler; members are described likewise.

    Infinite numbers become text; an array its shape and the md5 of its bytes.
    """
    fields = {field.name: _plain(getattr(part, field.name)) for field in dataclasses.fields(part) if field.repr}
    return {"filter": part.name, **fields}


def parameters(part: Any) -> Mapping[str, Any]:
    """The fields of a filter or selector without its name."""
    return {key: value for key, value in describe(part).items() if key != "filter"}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and hasattr(value, "name"):
        return describe(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        digest = hashlib.md5(np.ascontiguousarray(value).tobytes(), usedforsecurity=False).hexdigest()
        return {"shape": list(value.shape), "dtype": str(value.dtype), "md5": digest}
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else str(float(value))
    return value

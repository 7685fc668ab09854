"""A filter as plain JSON values: what a subset's account and the documentation say of it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


def describe(part: Any) -> dict[str, Any]:
    """`{"filter": name, field: value, …}` of a filter or selector, members described likewise; infinite numbers as text."""
    return {"filter": part.name, **{field.name: _plain(getattr(part, field.name)) for field in dataclasses.fields(part)}}


def parameters(part: Any) -> Mapping[str, Any]:
    """The fields of a filter or selector without its name."""
    return {key: value for key, value in describe(part).items() if key != "filter"}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and hasattr(value, "name"):
        return describe(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value

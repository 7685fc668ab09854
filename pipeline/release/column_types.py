"""Arrow's types, as release.json spells them, in the words of others: Hugging Face's features and Croissant's data types."""

import re
from typing import Any

_LIST = re.compile(r"list<(?:element|item): (.+?)(?: not null)?>")
_FEATURES = {
    **{name: name for name in ("string", "bool", "int8", "int16", "int32", "int64", "binary")},
    "float": "float32",
    "double": "float64",
    "date32[day]": "date32",
    "timestamp[us]": "timestamp[us]",
    "timestamp[us, tz=UTC]": "timestamp[us, tz=UTC]",
}
_CROISSANT = {
    "string": "sc:Text",
    "bool": "sc:Boolean",
    "int8": "cr:Int8",
    "int16": "cr:Int16",
    "int32": "cr:Int32",
    "int64": "cr:Int64",
    "float": "cr:Float32",
    "double": "cr:Float64",
    "date32[day]": "sc:Date",
    "timestamp[us]": "sc:DateTime",
    "timestamp[us, tz=UTC]": "sc:DateTime",
}


def feature_of(kind: str) -> Any:
    """A column's type as `datasets` writes it in a card's YAML: a name, or {"list": …}; None for one that it does not name."""
    inner = _LIST.fullmatch(kind)
    if inner is None:
        return _FEATURES.get(kind)
    found = feature_of(inner[1])
    return None if found is None else {"list": found}


def croissant_type(kind: str) -> tuple[str, int] | None:
    """Croissant's data type of the values, and how many dimensions of arrays they stand in (0: none); None for others."""
    inner, dimensions = kind, 0
    while match := _LIST.fullmatch(inner):
        inner, dimensions = match[1], dimensions + 1
    named = _CROISSANT.get(inner)
    return None if named is None else (named, dimensions)

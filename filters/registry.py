"""The filters that recipes and `webpairs filter --name` know: ours, and those that installed packages add.

A package adds one through the entry-point group `webpairs.filters`; the entry point names an `Entry`.
"""

import dataclasses
import difflib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from filters.contract import Filter, Measure, PoolMeasure, Sampler, Selector
from schemas.errors import UsageError

GROUP = "webpairs.filters"
_MISSING = dataclasses.MISSING

# Listed here, not as entry points of our own distribution: so they are there when the code runs from a zip, too.
_MODULES = {
    "no_filter": "filters.no_filter",
    "random_subset": "filters.random_subset",
    # DataComp's baselines
    "basic_filter": "filters.basic",
    "clip_score": "filters.clip_score",
    "laion2b": "filters.laion2b",
    "text_based": "filters.text_based",
    "image_based": "filters.image_based",
    "image_based_intersect_clip_score": "filters.image_based",
    # of a score or an embedding
    "score_range": "filters.score_range",
    "language_share": "filters.language_share",
    "negclip_loss": "filters.negclip_loss",
    "norm_sim": "filters.norm_sim",
    "density": "filters.density",
    "soft_cap": "filters.soft_cap",
    # of copies
    "exact_dedup": "filters.exact_dedup",
    "perceptual_dedup": "filters.perceptual_dedup",
    "semantic_dedup": "filters.semantic_dedup",
    "decontaminated": "filters.decontaminated",
    # of the text
    "language": "filters.language",
    "min_words": "filters.text",
    "min_characters": "filters.text",
    "repetition": "filters.repetition",
    "boilerplate": "filters.boilerplate",
    "file_name_text": "filters.file_name_text",
    "metaclip": "filters.metaclip",
    # of the image and of rights
    "min_side": "filters.image_size",
    "max_aspect_ratio": "filters.image_size",
    "opt_out": "filters.opt_out",
    "licence": "filters.licence",
}


@dataclass(frozen=True, kw_only=True)
class Context:
    """What is known of the metadata that a filter is made for."""

    columns: tuple[str, ...]  # of the parquet files, and names of the .npz's arrays


def parameter(doc: str, default: Any = _MISSING, *, file: bool = False) -> Any:
    """A field of an Entry's parameters: what it means, its default (none: required), whether it is the path of a file.

    A path may be a URL in a recipe or on the command line: the filter is given a local copy.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, "file": file})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A filter by name.

    `summary`: what it keeps, in a few words. `source`: the paper or the specification. `parameters`: a frozen, keyword-only
    dataclass whose fields are made by `parameter`: the keys in a recipe, and after --param. `build` makes it of an instance.
    """

    name: str
    summary: str
    source: str
    parameters: type
    build: Callable[[Any, Context], Filter | Selector | Sampler]
    # The number that the filter cuts, where `webpairs measure` may store it as a column.
    measure: Callable[[Any, Context], Measure | PoolMeasure] | None = None


@dataclass(frozen=True, kw_only=True)
class NoParameters:
    """Those of a filter that has none."""


def names() -> list[str]:
    """All known names, sorted."""
    return sorted({*_MODULES, *(point.name for point in metadata.entry_points(group=GROUP))})


def find(name: str) -> Entry:
    """The filter of that name. Raises UsageError listing the choices where there is none."""
    if name in _MODULES:
        module = import_module(_MODULES[name])
        found = next((entry for entry in getattr(module, "ENTRIES", ()) if entry.name == name), getattr(module, "ENTRY", None))
    else:
        points = list(metadata.entry_points(group=GROUP, name=name))
        if not points:
            raise UsageError(f"filter {name}: no such filter; {_hint(name)}")
        found = points[0].load()
    if not isinstance(found, Entry):
        raise UsageError(f"filter {name}: its entry point in {GROUP} is not a filters.registry.Entry")
    return found


def build(name: str, values: Mapping[str, Any], context: Context) -> Filter | Selector | Sampler:
    """The filter of that name with these parameters. Raises UsageError where one is missing, unknown or of another type."""
    entry = find(name)
    return entry.build(parameters_of(entry, values), context)


def takes(entry: Entry) -> tuple[str, ...]:
    """The names of its parameters."""
    return tuple(field.name for field in dataclasses.fields(entry.parameters))


def files_of(entry: Entry) -> tuple[str, ...]:
    """The names of the parameters that are paths of files."""
    return tuple(field.name for field in dataclasses.fields(entry.parameters) if field.metadata.get("file"))


def parameters_of(entry: Entry, values: Mapping[str, Any]) -> Any:
    """An instance of the entry's parameters. Raises UsageError naming the filter, the parameter and the value."""
    known = {field.name: field for field in dataclasses.fields(entry.parameters)}
    hints = get_type_hints(entry.parameters)
    for name, value in values.items():
        if name not in known:
            raise UsageError(f"--{name.replace('_', '-')}: {entry.name} does not take it{_takers(name, known)}")
        if not _fits(value, hints[name]):
            raise UsageError(f"{entry.name}: {name} = {value!r} must be {_said(hints[name])}")
    for name, field in known.items():
        if field.default is _MISSING and name not in values:
            raise UsageError(f"{entry.name}: give {name}: {field.metadata.get('doc', 'it has no default')}")
    ready = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return entry.parameters(**ready)


def _takers(name: str, known: Mapping[str, Any]) -> str:
    others = [other for other in _MODULES if name in takes(find(other))]
    if others:
        return f" (it belongs to {', '.join(others)})"
    return f"; its parameters are {', '.join(known)}" if known else "; it has no parameters"


def _fits(value: Any, hint: Any) -> bool:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if origin is tuple:
        return isinstance(value, list | tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, hint)


def _said(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_said(one) for one in inner if one is not type(None))
    if origin is Literal:
        return "one of " + ", ".join(map(str, inner))
    if origin is tuple:
        return f"a list, each {_said(inner[0])}"
    return {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}.get(hint, str(hint))


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"known: {', '.join(names())}"

"""The filters that `webpairs filter --name` knows: ours, and those that installed packages add.

A package adds one through the entry-point group `webpairs.filters`; the entry point names an `Entry`.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata

from filters.contract import Filter, Selector
from schemas.errors import UsageError

GROUP = "webpairs.filters"

# Listed here, not as entry points of our own distribution: so they are there when the code runs from a zip, too.
_MODULES = {
    "no_filter": "filters.no_filter",
    "basic_filter": "filters.basic",
    "clip_score": "filters.clip_score",
    "random_subset": "filters.random_subset",
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks of a named filter. None: the option was not given."""

    name: str
    columns: tuple[str, ...]  # of the metadata at hand
    arch: str | None = None
    threshold: float | None = None
    fraction: float | None = None
    seed: int = 0
    like_rows: int | None = None  # rows of the subset whose size is to be matched
    lid_model: str | None = None  # path of a fastText language-id model


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A filter by name: what it keeps, in a few words; the options of Request that it takes; how it is made of them."""

    name: str
    summary: str
    takes: frozenset[str]
    build: Callable[[Request], Filter | Selector]


def names() -> list[str]:
    """All known names, sorted."""
    return sorted({*_MODULES, *(point.name for point in metadata.entry_points(group=GROUP))})


def find(name: str) -> Entry:
    """The filter of that name. Raises UsageError listing the choices where there is none."""
    if name in _MODULES:
        found = import_module(_MODULES[name]).ENTRY
    else:
        points = list(metadata.entry_points(group=GROUP, name=name))
        if not points:
            raise UsageError(f"--name {name}: no such filter; {_hint(name)}")
        found = points[0].load()
    if not isinstance(found, Entry):
        raise UsageError(f"--name {name}: its entry point in {GROUP} is not a filters.registry.Entry")
    return found


def build(request: Request) -> Filter | Selector:
    """The filter that a request asks for. Raises UsageError where an option is missing or does not belong to the filter."""
    entry = find(request.name)
    for option in ("arch", "threshold", "fraction", "like_rows", "lid_model"):
        if getattr(request, option) is not None and option not in entry.takes:
            flag = option.removesuffix("_rows").replace("_", "-")
            takers = ", ".join(other for other in _MODULES if option in find(other).takes)
            raise UsageError(f"--{flag}: {entry.name} does not take it (it belongs to {takers})")
    return entry.build(request)


def checked_fraction(fraction: float) -> float:
    """The fraction. Raises UsageError where it is not from 0 to 1."""
    if not 0 <= fraction <= 1:
        raise UsageError(f"--fraction {fraction}: must be from 0 to 1")
    return fraction


def _hint(name: str) -> str:
    near = difflib.get_close_matches(name, names(), n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"known: {', '.join(names())}"

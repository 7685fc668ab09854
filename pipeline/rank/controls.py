"""Which random subset is whose control, and what a ranking lacks.

A filter is worth something when it beats a random subset of the same size: against no_filter, the smaller subset alone changes
how often each pair is seen. Whether a subset is random is told by its account, NAME.json, where the run says which file it was
trained on and that file is still there; else by its name, `random_…`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline import io
from pipeline.manifest import CONFIG_NAME
from pipeline.rank.runs import Group
from schemas.errors import UserError
from schemas.rankings import BASELINE

RANDOM = "random_subset"
_PREFIX = "random_"
LIKE = "random_like_"  # and the filter whose control it is
SIZES_APART = 0.01  # share by which a control's size may differ: pairs that are not among the shards


def random_subsets(paths: Sequence[str], names: Mapping[str, str]) -> set[str]:
    """The filters that are random subsets. `paths`: results files; `names`: the filter of each."""
    told = {names[path]: _recipe(path) for path in paths}
    return {name for name, recipe in told.items() if (recipe == RANDOM if recipe else name.startswith(_PREFIX))}


def controls(group: Group, random: set[str]) -> dict[str, str]:
    """Filter → the random subset of its size that it is compared with, for those that have one.

    The one named after it goes before others of that size; it must have a seed in common with it.
    """
    found = {}
    for name in group.filters:
        if name == BASELINE or name in random:
            continue
        fitting = [other for other in group.filters if other in random and _of_one_size(group, name, other)]
        fitting = [other for other in fitting if group.shared_seeds(name, other)]
        if fitting:
            found[name] = min(fitting, key=lambda other: (other != LIKE + name, abs(group.rows(other) - group.rows(name)), other))
    return found


def lacking(group: Group, random: set[str]) -> dict[str, Any]:
    """What the ranking at this compute lacks: `no_filter` (whether), and `random` (filters without a control of their size)."""
    having = controls(group, random)
    filters = [name for name in group.filters if name != BASELINE and name not in random]
    return {"no_filter": BASELINE not in group.results, "random": [name for name in filters if name not in having]}


def _of_one_size(group: Group, name: str, other: str) -> bool:
    mine, theirs = group.rows(name), group.rows(other)
    return abs(mine - theirs) <= SIZES_APART * mine


def _recipe(path: str) -> str | None:
    """What the account of the run's subset calls it; None where no account can be found."""
    folder = path.rpartition("/")[0]
    subset = _entry(io.join(folder, CONFIG_NAME), "subset")
    return _entry(subset.removesuffix(".npy") + ".json", "recipe") if subset else None


def _entry(path: str, key: str) -> str | None:
    try:
        found = json.loads(io.read_bytes(path)) if io.exists(path) else {}
    except (ValueError, UserError, OSError):  # an account that cannot be read tells nothing; the name then does
        return None
    value = found.get(key) if isinstance(found, dict) else None
    return value if isinstance(value, str) else None

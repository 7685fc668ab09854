"""Subset files of one revision → of the next: the same entries in the same order, repeats kept, but for uids that went."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline import io
from pipeline.manifest import to_json
from pipeline.revise.carry import carried
from pipeline.revise.gone import Gone
from pipeline.revise.listed import Listed
from pipeline.subset_file import read_subset, write_subset


@dataclass(frozen=True, kw_only=True)
class Translated:
    """A subset file: how many entries it has, repeats counted, and how many of them are to go."""

    path: str
    entries: int
    gone: int


def going(path: str, gone: Gone, listed: Listed) -> tuple[np.ndarray, np.ndarray]:
    """The entries, (n,) `u8,u8`, and which are to go, (n,) bool: of pairs that went, or that a list names by uid."""
    uids = read_subset(path)
    return uids, gone.has(uids) | listed.uids(uids)


def translate(source: str, target: str, gone: Gone, listed: Listed, revision: int) -> Translated:
    """Write the subset at `target`, and beside it the JSON of the same stem if there is one, with a line on the revision.

    Both are carried over as they are where nothing of the subset goes.
    """
    uids, to_go = going(source, gone, listed)
    count = int(to_go.sum())
    if count:
        write_subset(target, uids[~to_go])
    else:
        carried(source, target)
    told = beside(source)
    if io.exists(told):
        if count:
            _write_told(told, beside(target), {"revision": revision, "removed_entries": count, "entries": len(uids) - count})
        else:
            carried(told, beside(target))
    return Translated(path=source, entries=len(uids), gone=count)


def beside(path: str) -> str:
    """The JSON that says how a subset was made."""
    return path.removesuffix(".npy") + ".json"


def _write_told(source: str, target: str, line: dict[str, Any]) -> None:
    """What was told stays: it is how the subset was made. What is no JSON object is carried over."""
    try:
        told = json.loads(io.read_bytes(source))
    except ValueError:
        told = None
    if not isinstance(told, dict):
        carried(source, target)
        return
    history = told.get("revisions")
    with io.atomic_write(target) as file:
        file.write(to_json({**told, "revisions": [*(history if isinstance(history, list) else []), line]}))

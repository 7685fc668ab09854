"""5_subsets of a data root → subsets/ of the release: the files as they are, how they were made without local paths."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from filters.uids.uid_lookup import UidTable
from pipeline import io
from pipeline.manifest import to_json
from pipeline.release import ReleaseConfig
from pipeline.release.layout import DATA, SUBSETS, require_inside
from pipeline.release.provenance import without_local_paths
from pipeline.release.source import SUBSETS as MADE
from pipeline.subset_file import read_subset
from schemas.errors import UserError
from schemas.subsets import uid_rows

_BATCH_ROWS = 1 << 20


@dataclass
class _Sought:
    """A subset's uids, without repeats, how often each stands in it, and which of them the release has."""

    table: UidTable
    times: np.ndarray
    found: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.found = np.zeros(len(self.times), bool)


def copy_subsets(config: ReleaseConfig, files: Sequence[str]) -> tuple[dict[str, int], dict[str, Any]]:
    """Copy them; entries by relative name, and per name what is to be told: entries, and those of pairs the release lacks.

    `files` are the names of the release's data files. Raises UserError for a file that is no subset.
    """
    folder = io.join(config.root, MADE)
    paths = io.list_files(folder, ".npy") if io.exists(folder) else []
    sought: dict[str, _Sought] = {}
    for path in paths:
        stem = io.stem(path)
        require_inside(f"{SUBSETS}/{stem}.npy", folder)
        rows, times = np.unique(read_subset(path), return_counts=True)
        sought[stem] = _Sought(UidTable(rows), times)
        _copy(config, stem, path)
    _sweep(config.out, set(sought))
    if sought:
        _look(config.out, files, list(sought.values()))
    entries = {f"{SUBSETS}/{stem}.npy": int(each.times.sum()) for stem, each in sorted(sought.items())}
    told = {
        stem: {"entries": int(each.times.sum()), "not_in_release": int(each.times[~each.found].sum())}
        for stem, each in sorted(sought.items())
    }
    return entries, told


def _copy(config: ReleaseConfig, stem: str, path: str) -> None:
    place = io.join(config.out, SUBSETS, stem)
    with io.atomic_write(f"{place}.npy") as file:
        file.write(io.read_bytes(path))
    made = path.removesuffix(".npy") + ".json"
    if not io.exists(made):
        return
    try:
        found = json.loads(io.read_bytes(made))
    except ValueError as error:
        raise UserError(f"{made}: not JSON ({error}); make the subset again, or remove it") from error
    with io.atomic_write(f"{place}.json") as file:
        file.write(to_json(without_local_paths(found, config.root)))


def _sweep(out: str, stems: set[str]) -> None:
    """Remove what an earlier run put there of subsets that are gone."""
    folder = io.join(out, SUBSETS)
    if io.exists(folder):
        for path in (*io.list_files(folder, ".npy"), *io.list_files(folder, ".json")):
            if io.stem(path) not in stems:
                io.remove(path)


def _look(out: str, files: Sequence[str], sought: Sequence[_Sought]) -> None:
    for name in files:
        with io.open_read(io.join(out, DATA, name)) as source:
            for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS, columns=["uid"]):
                uids = uid_rows(batch["uid"])
                for each in sought:
                    places = each.table.places(uids)
                    each.found[places[places >= 0]] = True

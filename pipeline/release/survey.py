"""Before anything is written: which rows repeat a uid, and where the files of the release begin.

In: the keys of all rows. Out: a Survey, which depends on the rows alone, not on how they were spread over files or who asked:
so a release made by Spark and one made here have the same bytes.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import io
from pipeline.folder_config import read_json
from pipeline.manifest import to_json
from pipeline.release.rows import in_order, read_keys
from pipeline.release.source import Source
from schemas.errors import UsageError
from schemas.releases import SORT_ORDER
from schemas.subsets import uid_rows

Key: TypeAlias = tuple[str, str, str]  # a row's values of SORT_ORDER

SAMPLED_KEYS = 1 << 20  # of the keys so many are looked at, about, to cut the files: 150 MB. Of fewer rows, all
_NAME = "_survey.json"
_MOST_FILES = 100_000  # five digits in a name
_UID_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Where the files begin, which rows are left out as repeats, and the counts of all rows."""

    begins: tuple[Key, ...]  # of every file but the first its smallest possible key, ascending
    repeats: dict[str, list[int]] = field(default_factory=dict)  # number of a source file → places in it, sorted
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def files(self) -> int:
        """How many files the release gets: one, if an empty one, where there are no rows."""
        return len(self.begins) + 1

    def repeats_of(self, number: int) -> np.ndarray:
        """(n,) int64, sorted: the places of the rows of a source file that are left out."""
        return np.array(self.repeats.get(str(number), []), np.int64)


def survey_here(source: Source, file_rows: int) -> Survey:
    """The survey, made in this process: 16 bytes of memory for each row, and the sampled keys."""
    counts: Counter[str] = Counter()
    uids, numbers, places = [np.empty(0, "u8,u8")], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    sample: list[pa.Table] = []
    below = sampled_below(source.rows)
    for number, each in enumerate(source.files):
        for keys, at, told in read_keys(each):
            counts.update(told)
            uids.append(uid_rows(_one_chunk(keys["uid"])))
            numbers.append(np.full(len(at), number))
            places.append(at)
            sample.append(keys.filter(pc.less(keys["uid"], below)))
    again = repeated(np.concatenate(uids))
    found: dict[str, list[int]] = {}
    for number, place in zip(np.concatenate(numbers)[again].tolist(), np.concatenate(places)[again].tolist(), strict=True):
        found.setdefault(str(number), []).append(place)
    return survey_of(sample, found, counts, file_rows)


def sampled_below(rows: int) -> str:
    """Of `rows` rows those are sampled whose uid, a hash, is below this text."""
    if rows <= SAMPLED_KEYS:
        return "g"  # every hex digit is below it
    return format(SAMPLED_KEYS * 16**_UID_DIGITS // rows, f"0{_UID_DIGITS}x")


def repeated(uids: np.ndarray) -> np.ndarray:
    """Sorted places, int64, of those of the (n,) `u8,u8` uids that stand earlier, too."""
    order = np.lexsort((uids["f1"], uids["f0"]))  # stable: of equal ones the earliest comes first
    high, low = uids["f0"][order], uids["f1"][order]
    again = (high[1:] == high[:-1]) & (low[1:] == low[:-1])
    return np.sort(order[1:][again])


def survey_of(sample: Sequence[pa.Table], repeats: dict[str, list[int]], counts: Counter[str], file_rows: int) -> Survey:
    """The survey over sampled keys (those of repeats among them), places of repeats, and the counts of all files."""
    left_out = sum(map(len, repeats.values()))
    if left_out:
        counts["dropped_repeated_uid"] = left_out
    kept = counts["rows_in"] - sum(count for name, count in counts.items() if name.startswith("dropped_"))
    return Survey(
        begins=_begins(sample, kept, file_rows),
        repeats={number: sorted(places) for number, places in sorted(repeats.items(), key=lambda item: int(item[0]))},
        counts={name: count for name, count in sorted(counts.items()) if count or name == "rows_in"},
    )


def _begins(sample: Sequence[pa.Table], rows: int, file_rows: int) -> tuple[Key, ...]:
    files = math.ceil(rows / file_rows)
    if files > _MOST_FILES:
        raise UsageError(f"--file-rows {file_rows}: {rows:,} rows would be {files:,} files; at most {_MOST_FILES:,} are written")
    if files < 2 or not sample:
        return ()
    ordered = _without_repeats(in_order(pa.concat_tables(sample)))
    places = [k * file_rows * len(ordered) // rows for k in range(1, files)]
    picked = ordered.take(pa.array(places, pa.int64())).to_pydict()
    return tuple(dict.fromkeys(zip(*(picked[name] for name in SORT_ORDER), strict=True)))


def _without_repeats(ordered: pa.Table) -> pa.Table:
    """One row per uid: repeats with another URL count at both places, which moves a file's end by a row."""
    uids = _one_chunk(ordered["uid"])
    first = np.ones(len(uids), bool)
    if len(uids) > 1:
        first[1:] = pc.not_equal(uids.slice(1), uids.slice(0, len(uids) - 1)).to_numpy(zero_copy_only=False)
    return ordered.filter(pa.array(first))


def write_survey(folder: str, survey: Survey) -> None:
    """Keep it beside the files, so that a run that goes on need not ask again."""
    with io.atomic_write(io.join(folder, _NAME)) as file:
        file.write(to_json(asdict(survey)))


def read_survey(folder: str) -> Survey | None:
    """The survey that an earlier run of the same config left, if any."""
    path = io.join(folder, _NAME)
    if not io.exists(path):
        return None
    try:
        found: dict[str, Any] = read_json(path)
        return Survey(begins=tuple(tuple(key) for key in found["begins"]), repeats=found["repeats"], counts=found["counts"])
    except (KeyError, TypeError, json.JSONDecodeError):
        return None


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)

"""filter on Spark: tasks of a few metadata files. In: the filter as it came out on this pool. Out: what each file gave.

What is kept goes through files beside the subset, 16 bytes per kept row, and not through Spark, whose driver bounds what all
tasks together return. Files that a filter reads (a language model, features) lie there meanwhile, too: each machine copies them.
"""

import os
import pickle
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from io import BytesIO
from typing import Any

import numpy as np

from filters.contract import Draw, Filter
from pipeline import io
from pipeline.filter.one_file import FileResult, filter_file
from pipeline.ledger import meanwhile
from pipeline.metadata.files import MetadataFile
from pipeline.nearby import near, published
from pipeline.spark_parts import reason
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE

_TASKS_PER_CORE, _MOST_FILES_PER_TASK = 4, 64  # a task costs Spark's Python more than a file costs a cheap filter
_READ_AT_ONCE = 16  # threads: an object store takes its time for each
_PLACE = "file"


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What every task needs: the filter and the draw, packed; whether costs are estimated; where kept uids go."""

    packed: bytes
    sampled: bool
    folder: str


def filter_on_spark(
    spark: Any, rules: tuple[Filter, Draw | None], files: Sequence[MetadataFile], save_path: str, *, sampled: bool
) -> list[FileResult]:
    """`filter_file` of every file, in their order. The session's Spark needs to reach the metadata and the subset's folder.

    Raises UserError where a task failed more often than Spark tries it.
    """
    folder = io.temporary_name(io.absolute(save_path))
    needed = [] if spark.sparkContext.master.startswith("local") else _files_of(rules)
    try:
        with published(folder, needed) as copies:
            packed = _packed(rules, dict(zip(needed, copies, strict=True)))
            io.make_folder(folder)
            found = _done(spark, _Plan(packed=packed, sampled=sampled, folder=folder), files)
        with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
            return list(threads.map(_received, found))
    finally:
        fs, name = io.url_to_fs(folder)
        if fs.exists(name):
            fs.rm(name, recursive=True)


def _done(spark: Any, plan: _Plan, files: Sequence[MetadataFile]) -> list[tuple[FileResult, str]]:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    shared = spark.sparkContext.broadcast(plan)
    count = max(_TASKS_PER_CORE * spark.sparkContext.defaultParallelism, -(-len(files) // _MOST_FILES_PER_TASK))
    tasks = spark.sparkContext.parallelize(files, min(len(files), count)).map(partial(_filter, shared))
    seen: set[str] = set()

    def look() -> int:
        before = len(seen)
        there = io.list_files(plan.folder, ".npy") if io.exists(plan.folder) else ()  # a store has no empty folders
        seen.update(io.stem(path) for path in there)
        return min(len(seen), len(files)) - before

    try:
        return list(meanwhile(tasks.collect, look, total=len(files), label="filter"))
    except (PySparkException, Py4JError) as error:
        raise UserError(f"filter: Spark gave up ({reason(error)}); run the same command again") from error
    finally:
        shared.destroy()


def _filter(shared: Any, file: MetadataFile) -> tuple[FileResult, str]:
    """What a file gave, but for the kept uids, and where these are: an attempt at it that Spark repeats writes another file."""
    plan: _Plan = shared.value
    chosen, drawn = _unpacked(plan.packed)
    result = filter_file(chosen, drawn, plan.sampled, file)
    path = io.join(plan.folder, f"{secrets.token_hex(8)}.npy")
    with io.open_write(path) as target:
        np.save(target, result.kept)
    result.waterfall.rules = ()  # the driver has them; some hold a model
    return replace(result, kept=np.empty(0, SUBSET_DTYPE)), path


def _received(found: tuple[FileResult, str]) -> FileResult:
    result, path = found
    with io.open_read(path) as source:
        kept = np.load(source, allow_pickle=False)
    return replace(result, kept=kept)


class _Packing(pickle.Pickler):
    """Pickles, and writes `copies[path]` for a path of a file that is copied, to be opened elsewhere."""

    def __init__(self, target: BytesIO, copies: dict[str, str]) -> None:
        super().__init__(target, pickle.HIGHEST_PROTOCOL)
        self.copies = copies
        self.paths: set[str] = set()

    def persistent_id(self, value: object) -> tuple[str, str] | None:
        """For a text: whether it is such a path. Every text that names a file by a path is taken down."""
        if type(value) is not str or os.sep not in value:
            return None
        if os.path.isfile(value):
            self.paths.add(value)
        return (_PLACE, self.copies[value]) if value in self.copies else None


class _Unpacking(pickle.Unpickler):
    def persistent_load(self, place: tuple[str, str]) -> str:
        """A path here, with that file's content."""
        return near(place[1])


def _files_of(parts: Any) -> list[str]:
    """The local files that a filter names, wherever in it."""
    packing = _Packing(BytesIO(), {})
    packing.dump(parts)
    return sorted(packing.paths)


def _packed(parts: Any, copies: dict[str, str]) -> bytes:
    target = BytesIO()
    _Packing(target, copies).dump(parts)
    return target.getvalue()


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> tuple[Filter, Draw | None]:
    """Once per process: a filter may load a model when it is first asked."""
    chosen, drawn = _Unpacking(BytesIO(packed)).load()
    return chosen, drawn


__all__ = ["filter_on_spark"]

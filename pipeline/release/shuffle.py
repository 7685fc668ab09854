"""A release of any size, made by Spark: the keys are surveyed, then rows go to the file they belong in, sorted on the way.

In: a Source. Out: the Survey, and the files that `write` makes. A source file is a task, then a file of the release is one.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ledger import watched
from pipeline.pool.moved import Moved, moved, tagged
from pipeline.release.rows import read_keys, read_rows, travelling
from pipeline.release.source import Source
from pipeline.release.survey import Key, Survey, sampled_below, survey_of
from pipeline.release.write import Job, write_part
from schemas.errors import UserError
from schemas.releases import SORT_ORDER
from schemas.spark import to_struct_type

_TASKS_PER_CORE = 4
_MOST_READERS = 100_000
_BUCKET = "bucket:"  # no metadata has a column of that name
_SAMPLE = pa.schema([pa.field(name, pa.string()) for name in (*SORT_ORDER, "counts")])
_PLACES = pa.schema([pa.field("uid", pa.string()), pa.field("file", pa.int32()), pa.field("place", pa.int64())])


def survey_by_spark(spark: Any, source: Source, file_rows: int) -> Survey:
    """The survey: two reads of the keys; 45 bytes per row go through a shuffle, by which repeats meet."""
    shared = spark.sparkContext.broadcast(source)
    try:
        readers = _readers(spark, len(source.files))
        sample = _collected(readers.mapInArrow(partial(_sample, shared), to_struct_type(_SAMPLE)))
        places = readers.mapInArrow(partial(_places, shared), to_struct_type(_PLACES))
        tasks = _tasks(spark, len(source.files))
        sorted_places = places.repartition(tasks, "uid").sortWithinPartitions("uid", "file", "place")
        again = _collected(sorted_places.mapInArrow(_repeats, to_struct_type(_PLACES)))
    finally:
        shared.destroy()
    counts: Counter[str] = Counter()
    for told in sample["counts"].drop_null().to_pylist():
        counts.update(json.loads(told))
    repeats: dict[str, list[int]] = {}
    for number, place in zip(again["file"].to_pylist(), again["place"].to_pylist(), strict=True):
        repeats.setdefault(str(number), []).append(place)
    keys = sample.filter(pc.is_valid(sample["uid"])).select(SORT_ORDER)
    return survey_of([keys], repeats, counts, file_rows)


def make_by_spark(spark: Any, source: Source, survey: Survey, job: Job, todo: Sequence[int]) -> Moved:
    """Write the files `todo`; what went through the shuffle. Raises UserError where Spark gave up; files that were done stay."""
    from pyspark.sql import functions as F

    shared = spark.sparkContext.broadcast((source, survey, job, frozenset(todo)))
    try:
        rows = _readers(spark, len(source.files)).mapInArrow(partial(_rows, shared), to_struct_type(_bucketed(source)))
        order = [F.col(f"`{name}`") for name in (_BUCKET, *SORT_ORDER)]
        sorted_rows = rows.repartition(_tasks(spark, len(todo)), order[0]).sortWithinPartitions(*order)
        written = sorted_rows.mapInArrow(partial(_write, shared), "number int")
        tag, collect = tagged(spark, lambda: _collected(written))
        cancel = partial(spark.sparkContext.cancelJobsWithTag, tag)
        found = watched(collect, job.folder, total=len(todo), label="release", cancel=cancel)
    finally:
        shared.destroy()
    for number in sorted(set(todo) - set(found["number"].to_pylist())):
        write_part(number, (), job)  # no row fell there
    return moved(spark, tag)


def _readers(spark: Any, files: int) -> Any:
    numbers = spark.sparkContext.parallelize([(number,) for number in range(files)], min(files, _MOST_READERS))
    return spark.createDataFrame(numbers, "number int")


def _tasks(spark: Any, wanted: int) -> int:
    return max(1, min(wanted, _TASKS_PER_CORE * int(spark.sparkContext.defaultParallelism)))


def _collected(frame: Any) -> pa.Table:
    from pyspark.errors import PySparkException

    try:
        return frame.toArrow()
    except PySparkException as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "no reason given")
        raise UserError(f"release: Spark gave up: {reason}; run the same command again to go on where it stopped") from error


def _numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch["number"].to_pylist()


def _sample(shared: Any, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    source: Source = shared.value
    below = sampled_below(source.rows)
    for number in _numbers(batches):
        counts: Counter[str] = Counter()
        for keys, _, told in read_keys(source.files[number]):
            counts.update(told)
            picked = keys.filter(pc.less(keys["uid"], below))
            yield from _as_batches(picked.append_column("counts", pa.nulls(len(picked), pa.string())), _SAMPLE)
        yield pa.RecordBatch.from_pylist([{"counts": json.dumps(counts)}], schema=_SAMPLE)


def _places(shared: Any, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    source: Source = shared.value
    for number in _numbers(batches):
        for keys, places, _ in read_keys(source.files[number]):
            files = pa.array(np.full(len(places), number, np.int32))
            yield from _as_batches(pa.table({"uid": keys["uid"], "file": files, "place": pa.array(places)}), _PLACES)


def _repeats(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of sorted rows those whose uid is that of the row before."""
    before = None
    for batch in batches:
        if not batch.num_rows:
            continue
        uids = batch["uid"].cast(pa.string())
        again = np.zeros(batch.num_rows, bool)
        again[0] = uids[0].as_py() == before
        again[1:] = pc.equal(uids.slice(1), uids.slice(0, len(uids) - 1)).to_numpy(zero_copy_only=False)
        before = uids[-1].as_py()
        yield batch.filter(pa.array(again))


def _rows(shared: Any, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    source, survey, _, todo = shared.value
    wanted, schema = pa.array(sorted(todo), pa.int32()), _bucketed(source)
    for number in _numbers(batches):
        for table in read_rows(source.files[number], source, survey.repeats_of(number)):
            bucketed = table.append_column(_BUCKET, pa.array(_buckets(table, survey.begins), pa.int32()))
            yield from _as_batches(bucketed.filter(pc.is_in(bucketed[_BUCKET], value_set=wanted)), schema)


def _buckets(table: pa.Table, begins: Sequence[Key]) -> list[int]:
    """Per row the number of the file it belongs in."""
    if not begins:
        return [0] * len(table)
    keys = zip(*(table[name].to_pylist() for name in SORT_ORDER), strict=True)
    return [bisect_right(begins, key) for key in keys]


def _write(shared: Any, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    source, _, job, _ = shared.value
    schema = travelling(source)
    for number, pieces in groupby(_pieces(batches), key=lambda piece: piece[0]):
        write_part(number, (_table(rows, schema) for _, rows in pieces), job)
        yield pa.record_batch({"number": pa.array([number], pa.int32())})


def _table(rows: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """In the types of before: Spark hands out times in the time zone of its session."""
    return pa.Table.from_batches([rows]).select(schema.names).cast(schema)


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Sorted batches cut where the bucket changes: (bucket, rows)."""
    for batch in batches:
        buckets = batch[_BUCKET].to_numpy()
        ends = [*(np.flatnonzero(np.diff(buckets)) + 1).tolist(), len(buckets)] if len(buckets) else []
        start = 0
        for end in ends:
            yield int(buckets[start]), batch.slice(start, end - start)
            start = end


def _bucketed(source: Source) -> pa.Schema:
    """`travelling` and the bucket; everything nullable, as Spark need not check it."""
    return pa.schema([*(field.with_nullable(True) for field in travelling(source)), pa.field(_BUCKET, pa.int32())])


def _as_batches(table: pa.Table, schema: pa.Schema) -> list[pa.RecordBatch]:
    return list(table.select(schema.names).cast(schema).to_batches())

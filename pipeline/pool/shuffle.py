"""The one thing Spark does for the pool: bring the copies of a pair together, in order.

In: candidate files. Out: the parts that `write` makes of them, and what the shuffle between cost.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ledger import watched
from pipeline.pool.judge import JUDGED, Rules, judge_file
from pipeline.pool.moved import Moved, moved, tagged
from pipeline.pool.survive import EARLIEST_BY
from pipeline.pool.write import write_bucket
from schemas.errors import UserError
from schemas.spark import to_struct_type

_TASKS_PER_CORE = 4
_MOST_READERS = 100_000  # tasks; more files than that share them


def shuffle(spark: Any, files: Sequence[str], rules: Rules, todo: Sequence[int]) -> Moved:
    """Judge the rows of `files`, sort them, and write the buckets `todo` that get any; the others get their empty report.

    Raises UserError where a task failed more often than Spark tries it; the buckets that were done stay.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F

    context = spark.sparkContext
    shared = context.broadcast((rules, frozenset(todo)))
    try:
        readers = context.parallelize([(path,) for path in files], min(len(files), _MOST_READERS))
        judged = spark.createDataFrame(readers, "path string").mapInArrow(partial(_judge, shared), to_struct_type(JUDGED))
        # A task takes several buckets where there are more of them than the cores can use.
        tasks = min(len(todo), max(1, _TASKS_PER_CORE * context.defaultParallelism))
        order = ["bucket", *(F.col(name).asc_nulls_last() for name in EARLIEST_BY)]
        written = (
            judged.repartition(tasks, "bucket").sortWithinPartitions(*order).mapInArrow(partial(_write, shared), "bucket int")
        )
        tag, collect = tagged(spark, written.collect)
        cancel = partial(context.cancelJobsWithTag, tag)
        buckets = {row.bucket for row in watched(collect, rules.out, total=len(todo), label="pool", cancel=cancel)}
    except PySparkException as error:
        reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "no reason given").strip()
        raise UserError(f"pool: Spark gave up: {reason}; run the same command again to go on where it stopped") from error
    finally:
        shared.destroy()
    for bucket in sorted(set(todo) - buckets):
        write_bucket(bucket, (), rules)
    return moved(spark, tag)


def _judge(shared: Any, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rules, todo = shared.value
    rules.removal.require()
    wanted = pa.array(sorted(todo), pa.int32())
    for batch in batches:
        for path in batch["path"].to_pylist():
            for judged in judge_file(path, rules):
                yield judged.filter(pc.is_in(judged["bucket"], value_set=wanted))


def _write(shared: Any, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    rules, _ = shared.value
    for bucket, pieces in groupby(_pieces(batches), key=lambda piece: piece[0]):
        write_bucket(bucket, (rows for _, rows in pieces), rules)
        yield pa.record_batch({"bucket": pa.array([bucket], pa.int32())})


def _pieces(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Sorted batches cut where the bucket changes: (bucket, rows)."""
    for batch in batches:
        buckets = batch["bucket"].to_numpy()
        ends = [*(np.flatnonzero(np.diff(buckets)) + 1), len(buckets)] if len(buckets) else []
        start = 0
        for end in ends:
            yield int(buckets[start]), batch.slice(start, end - start)
            start = end

"""What a shuffle cost, in Spark's own count. In: a session and work that runs jobs on it. Out: bytes and rows written."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

Answer = TypeVar("Answer")
_WAIT_MS = 10_000


@dataclass(frozen=True, kw_only=True)
class Moved:
    """What went through shuffles: bytes as written (serialised and compressed), and rows."""

    bytes_written: int
    rows_written: int


def tagged(spark: Any, work: Callable[[], Answer]) -> tuple[str, Callable[[], Answer]]:
    """A tag, and `work` in whichever thread it is called, such that Spark's jobs of it have that tag."""
    tag = f"webpairs-{secrets.token_hex(8)}"

    def run() -> Answer:
        spark.sparkContext.addJobTag(tag)
        try:
            return work()
        finally:
            spark.sparkContext.removeJobTag(tag)

    return tag, run


def moved(spark: Any, tag: str) -> Moved:
    """The sum over all stages of the jobs with that tag; of a stage that was tried again, its last attempt."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty(_WAIT_MS)  # the counts come as events
    tracker, store = spark.sparkContext.statusTracker(), context.statusStore()
    jobs = [tracker.getJobInfo(job) for job in context.statusTracker().getJobIdsForTag(tag)]
    stages = [store.lastStageAttempt(number) for number in {number for job in jobs if job for number in job.stageIds}]
    return Moved(
        bytes_written=sum(stage.shuffleWriteBytes() for stage in stages),
        rows_written=sum(stage.shuffleWriteRecords() for stage in stages),
    )
